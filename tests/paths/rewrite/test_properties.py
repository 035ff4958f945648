"""Whatever a module looks like: a rewriting changes the planned expressions and adds imports, and nothing else."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sage_doctor.paths.find import read_script
from sage_doctor.paths.find.path_map import build_path_map
from sage_doctor.paths.find.python_script import parse
from sage_doctor.paths.rewrite import FileEdits, RewriteContext, plan_edits
from sage_doctor.paths.rewrite.patch import suggestions
from sage_doctor.paths.rewrite.python_source import rewritten, suggested
from sage_doctor.paths.scan import ScannedFile
from tests.paths.find.forms import FORMS, S

from .test_forms import planned

SNIPPETS = [f.source.replace("$S", S) for f in FORMS]
LINES = [
    "",
    "   ",
    "# é /home/sprout/ai-workspace/HRM/zoo/m",
    "y = 'é', \"\\d\"[0:]",
    "x=1 ;y  = 2 # c",
    "if 1:\n\tz = 3",
]
HEADS = [
    "",
    '"""Doc."""\n',
    "from __future__ import annotations\n",
    '#!/usr/bin/env python3\n# coding: utf-8\n"""Doc."""\nfrom __future__ import annotations\nimport os\n',
    "\ufeff",
]
ROOTS = [
    "",
    "from pathlib import Path\nHRM_ROOT = Path(__file__).resolve().parents[3]\n",
    "import os.path\nHRM_ROOT = os.path.dirname(os.path.dirname(__file__))\n",
    "from pathlib import Path as P\nHRM_ROOT = P(__file__)\n",
    "resolve = Path = None\n",
]
LETTERS = st.characters(codec="utf-8", exclude_characters="\r\n\x00\x0c\x0b\x1c\x1d\x1e\x85\u2028\u2029")
TEXTS = st.text(LETTERS, max_size=12)
EXAMPLES = int(os.environ.get("SAGE_DOCTOR_TEST_EXAMPLES", "40"))  # `make soak` asks for more


@st.composite
def modules(draw: st.DrawFn) -> str:
    parts = draw(st.lists(st.sampled_from(SNIPPETS) | st.sampled_from(LINES) | TEXTS.map(literal), max_size=8))
    ends = draw(st.sampled_from(["\n", "\r\n"]))
    last = draw(st.sampled_from(["", "\n", "\n\n  "]))
    return (draw(st.sampled_from(HEADS)) + draw(st.sampled_from(ROOTS)) + "\n".join(parts) + last).replace("\n", ends)


def literal(text: str) -> str:
    """Return a statement with a path that ends in any text."""
    return f"v = [{(S + '/zoo/' + text)!r}, {text!r}]"


@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=modules(), resolvable=st.booleans())
def test_only_what_was_planned_changes(text: str, *, resolvable: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        plan = planned(Path(place), text, models={"m": "zoo/m"}, resolvable=resolvable)
        new = rewritten(plan, plan.edits).decode()
    if not plan.edits:
        assert new == text
        return
    parse(new.encode())
    ends = "\r\n" if "\r\n" in text else "\n"
    added = tuple(f"from {module} import " for e in plan.edits for module, _ in e.needs)
    assert without(new, added, ends) == without(spliced(plan, text), added, ends)
    assert new.count("\r\n") == (new.count("\n") if ends == "\r\n" else 0)


@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=modules(), resolvable=st.booleans())
def test_a_suggestion_changes_its_own_text_and_adds_imports(text: str, *, resolvable: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        plan = planned(Path(place), text, models={"m": "zoo/m"}, resolvable=resolvable)
        new, taken = suggested(plan)
        patch = suggestions([plan], plan.path.parents[3], done=False)
    assert taken == plan.suggestions
    assert (patch.count, bool(patch.patch)) == (len(taken), bool(taken))
    parse(new)
    ends = "\r\n" if "\r\n" in text else "\n"
    added = (*(f"from {module} import " for e in taken for module, name in e.needs if name), "import os")
    if taken:
        only = dataclasses.replace(plan, edits=taken)
        assert without(new.decode(), added, ends) == without(spliced(only, text), added, ends)
    else:
        assert new.decode() == text


def spliced(plan: FileEdits, text: str) -> str:
    """Return the text with the planned expressions replaced, and nothing else: what libcst must come to as well."""
    lines = text.split("\n")
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    lines[0] = lines[0].removeprefix("\ufeff")
    for edit in sorted(plan.edits, key=lambda e: e.span, reverse=True):
        line, column, end_line, end_column = edit.span
        head, tail, source = lines[line - 1][:column], lines[end_line - 1][end_column:], edit.source
        if "\n" in source and source.startswith("(") and head.endswith("("):
            source = source[1:-1]  # one pair of brackets is enough
        lines[line - 1 : end_line] = [head + source + tail]
    return mark + "\n".join(lines)


def without(text: str, imports: tuple[str, ...], ends: str) -> list[str]:
    """Return the lines without the imports that may be added to, and the blank lines that come with them."""
    lines = [line.removeprefix("\ufeff") for line in text.split(ends)]
    return [line for line in lines if line and not line.startswith(imports)]


@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(raw=st.binary(max_size=300))
def test_any_bytes_are_read_without_a_word(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        plan = planned(Path(place), "")
        plan.path.write_bytes(b"x = '/home/sprout/a/b'\n" + raw)
        again = planned_from(plan.path, Path(place))
        assert again.edits == ()


def planned_from(path: Path, root: Path) -> FileEdits:
    known = build_path_map(home=root, own_roots=[root], other_roots=["/home/sprout"])
    read = read_script(path, known, directory=root)
    classified = tuple((o, known.classify(o.text)) for o in read.references)
    return plan_edits(ScannedFile(script=read, subject="run.py", classified=classified), RewriteContext(directory=root))
