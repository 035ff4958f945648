"""Every form is written as it should be, and nothing else of its file moves."""

from __future__ import annotations

import difflib
import textwrap
from pathlib import Path

import pytest

from sage_doctor.paths.find import read_script
from sage_doctor.paths.find.path_map import build_path_map
from sage_doctor.paths.rewrite import FileEdits, RewriteContext, plan_edits
from sage_doctor.paths.rewrite.python_source import rewritten, suggested
from sage_doctor.paths.scan import ScannedFile
from tests.paths.find.forms import FORMS, PREAMBLE, Form, S, lay_out


def planned(root: Path, text: str, *, models: dict[str, str] | None = None, resolvable: bool = True) -> FileEdits:
    """Return the plan for a runner with this text."""
    home, checkout = lay_out(root)
    script = checkout / "sage/raising/scripts/run.py"
    script.write_bytes(text.encode())
    known = build_path_map(
        home=home, own_roots=[checkout], other_roots=["/home/sprout", "/home/dp"], machine_names=["sprout", "thor"]
    )
    read = read_script(script, known, directory=checkout)
    known.learn_roots([f"{S}/zoo/m", *(o.text for o in read.references if o.used)])
    classified = tuple((o, known.classify(o.text)) for o in read.references)
    places = {checkout / place: name for name, place in (models or {}).items()}
    seen = ScannedFile(script=read, subject="run.py", roles=("r",), classified=classified)
    return plan_edits(seen, RewriteContext(directory=checkout, models=places, resolvable=resolvable))


def body(text: str) -> str:
    return text.removeprefix(PREAMBLE).rstrip("\n")


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
def test_form(form: Form, tmp_path: Path) -> None:
    plan = planned(tmp_path, form.text)
    new = rewritten(plan, plan.edits).decode()
    if form.write is None or form.write.startswith("?"):
        assert new == form.text
        maybe, taken = suggested(plan)
        assert taken == plan.suggestions
        assert body(maybe.decode()) == (form.write or f"?{body(form.text)}")[1:].replace("$S", S)
        assert maybe.decode().startswith(PREAMBLE)
    else:
        assert body(new) == form.write
        assert new.startswith(PREAMBLE)
        assert plan.suggestions == ()


@pytest.mark.parametrize("form", [f for f in FORMS if f.write is not None], ids=lambda f: f.name)
def test_what_is_written_has_the_value_and_type_it_had(form: Form, tmp_path: Path) -> None:
    """The other machine's root in the old value, and this machine's in the new one, are the only difference."""
    if not form.source.startswith(
        ("MODEL", "M =", "ROOT", "p =", "a =", "x =", "c =", "z =", "m =", "class A", "def f(p")
    ):
        return
    plan = planned(tmp_path, form.text)
    script = plan.path
    values = [_run(text, script) for text in (form.text, suggested(plan, plan.edits)[0].decode())]
    checkout = str(script.parents[3])
    assert [v.replace(S, checkout) for v in values[:1]] == values[1:]


def _run(text: str, script: Path) -> str:
    space: dict[str, object] = {"__file__": str(script), "__name__": "run"}
    exec(compile(text, str(script), "exec"), space)  # the form is ours
    if "A" in space:
        return repr(space["A"].m)  # type: ignore[attr-defined]
    if "f" in space:
        return repr(space["f"].__defaults__)  # type: ignore[attr-defined]
    return repr(next(space[n] for n in ("MODEL", "M", "ROOT", "p", "x", "c", "z", "m") if n in space))


BARE = (
    '"""Doc."""\nfrom __future__ import annotations\n\nimport os\n\nMODEL = "$S/zoo/m"\nSUB = "$S/zoo/m/config.json"\n'
)


def test_in_the_checkout_a_path_is_relative_to_the_file_and_needs_nothing_installed(tmp_path: Path) -> None:
    plan = planned(tmp_path, BARE.replace("$S", S), models={"m": "zoo/m"})
    new = rewritten(plan, plan.edits).decode()
    assert 'MODEL = str(Path(__file__).resolve().parents[3] / "zoo/m")\n' in new
    assert "sage_doctor" not in new


def test_without_sage_doctor_in_the_sessions_python_the_file_says_where_it_is(tmp_path: Path) -> None:
    plan = planned(tmp_path, BARE.replace("$S", S), models={"m": "zoo/m"}, resolvable=False)
    new = rewritten(plan, plan.edits).decode()
    assert "from pathlib import Path\n" in new
    assert 'MODEL = str(Path(__file__).resolve().parents[3] / "zoo/m")\n' in new


def test_the_import_is_added_once_and_not_again(tmp_path: Path) -> None:
    text = f'from pathlib import Path\nA = "{S}/zoo/m"\nB = "{S}/zoo"\n'
    plan = planned(tmp_path, text)
    new = rewritten(plan, plan.edits).decode()
    assert new.count("import") == 1
    assert new.count("parents[3]") == 2


UP = 'os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))'
ROOTS = {
    'R = Path(__file__).resolve().parents[3]\nM = "$S/zoo/m"': 'M = str(R / "zoo/m")',
    'R = Path(__file__).parent.parent.parent.parent.resolve()\nM = "$S/zoo/m"': 'M = str(R / "zoo/m")',
    'R = os.path.dirname(os.path.abspath(__file__)) + ""\nM = "$S/zoo/m"': None,
    'R = $UP\nM = "$S/zoo/m"': 'M = f"{R}/zoo/m"',
    'R = $UP\nM = Path("$S/zoo/m")': 'M = Path(R) / "zoo/m"',
    'R = $UP\nM = "$S"': "M = R",
    'HERE = Path(__file__).resolve().parent\nR = HERE.parents[2]\nZ = R / "zoo"\nM = "$S/zoo/m"': 'M = str(Z / "m")',
    'R = Path(__file__).resolve().parents[3]\nR = Path("elsewhere")\nM = "$S/zoo/m"': None,
    'if os.name:\n    R = Path(__file__).resolve().parents[3]\nM = "$S/zoo/m"': None,
    'M = "$S/zoo/m"\nR = Path(__file__).resolve().parents[3]': None,
    'R = Path(__file__).resolve().parents[3]\ndef f(R=1):\n    M = "$S/zoo/m"': None,
    'R = Path(__file__).resolve().parents[3]\nx = [("$S/zoo/m", R) for R in ()]': None,
    'R = Path(__file__).resolve().parents[3]\ndef f(x="$S/zoo/m", R=1): ...': 'def f(x=str(R / "zoo/m"), R=1): ...',
    'R = Path(__file__).resolve().parents[1]\nM = "$S/zoo/m"': None,
}


@pytest.mark.parametrize("source", ROOTS, ids=range(len(ROOTS)))
def test_a_root_that_the_module_computes_is_used_where_it_means_that_root(source: str, tmp_path: Path) -> None:
    text = f"import os\nfrom pathlib import Path\n{source.replace('$S', S).replace('$UP', UP)}\n"
    plan = planned(tmp_path, text, resolvable=False)
    new = rewritten(plan, plan.edits).decode()
    wanted = ROOTS[source]
    if wanted is None:
        assert "Path(__file__).resolve().parents[3] / " in new.replace("R = Path(__file__)", "")
    else:
        assert wanted in new.splitlines()


@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["unix", "windows"])
def test_line_ends_comments_and_blanks_stay(ends: str, tmp_path: Path) -> None:
    text = textwrap.dedent(
        f"""\
        # a
        import os   # b

        X   =  ( "{S}/zoo/m" ) ;  Y=1   # c {S}


        def f( a ,b = "{S}/zoo" ) :  # d
        \treturn   a
        """
    ).replace("\n", ends)
    plan = planned(tmp_path, text, models={"m": "zoo/m"})
    new = rewritten(plan, plan.edits).decode()
    changed = [
        line for line in difflib.ndiff(text.splitlines(keepends=True), new.splitlines(keepends=True)) if line[0] in "+-"
    ]
    assert [line[2:].strip() for line in changed if line[0] == "+"] == [
        "from pathlib import Path",
        f'X   =  ( str(Path(__file__).resolve().parents[3] / "zoo/m") ) ;  Y=1   # c {S}',
        'def f( a ,b = str(Path(__file__).resolve().parents[3] / "zoo") ) :  # d',
    ]
    assert new.count("\r\n") == (new.count("\n") if ends == "\r\n" else 0)


def test_a_name_that_means_something_else_is_not_used(tmp_path: Path) -> None:
    text = f'resolve = 1\nPath = 2\nM = "{S}/zoo/m"\n'
    plan = planned(tmp_path, text, models={"m": "zoo/m"})
    assert plan.edits == ()
    assert rewritten(plan, plan.edits).decode() == text


def test_other_encodings_stay(tmp_path: Path) -> None:
    plan = planned(tmp_path, "")
    plan.path.write_bytes(f'# coding: latin-1\né = "{S}/zoo/m"\n'.encode("latin-1"))
    home, checkout = lay_out(tmp_path)
    known = build_path_map(home=home, own_roots=[checkout], other_roots=["/home/sprout"])
    read = read_script(plan.path, known, directory=checkout)
    classified = tuple((o, known.classify(o.text)) for o in read.references)
    again = plan_edits(
        ScannedFile(script=read, subject="run.py", classified=classified), RewriteContext(directory=checkout)
    )
    assert rewritten(again, again.edits).startswith(b"# coding: latin-1\n")
    assert b"\n\xe9 = str(Path(" in rewritten(again, again.edits)
