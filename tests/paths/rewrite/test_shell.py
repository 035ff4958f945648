"""What is suggested for shell scripts, applied by git and run, does here what the old did on its machine."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sage_doctor.paths.find import read_script
from sage_doctor.paths.find.path_map import build_path_map
from sage_doctor.paths.rewrite import FileEdits, RewriteContext, plan_edits
from sage_doctor.paths.rewrite.patch import suggestions
from sage_doctor.paths.rewrite.python_source import suggested
from sage_doctor.paths.scan import ScannedFile
from tests.paths.find.forms import S, lay_out

from .shell_forms import ROOT, SHELL_FORMS, ShellForm

EXAMPLES = int(os.environ.get("SAGE_DOCTOR_TEST_EXAMPLES", "40"))  # `make soak` asks for more
WRITTEN = [f for f in SHELL_FORMS if f.write is not None]


def planned(root: Path, text: str, *, models: dict[Path, str] | None = None, command: bool = False) -> FileEdits:
    """Return the plan for a shell script with this text."""
    home, checkout = lay_out(root)
    script = checkout / "sage/raising/scripts/run.sh"
    script.write_bytes(text.encode())
    script.chmod(0o755)
    known = build_path_map(
        home=home, own_roots=[checkout], other_roots=["/home/sprout", "/home/dp"], machine_names=["sprout", "thor"]
    )
    read = read_script(script, known, directory=checkout)
    known.learn_roots([f"{S}/zoo/m", *(o.text for o in read.references if o.used)])
    classified = tuple((o, known.classify(o.text)) for o in read.references)
    seen = ScannedFile(script=read, subject="run.sh", roles=("r",), classified=classified)
    world = RewriteContext(
        directory=checkout,
        models=models or {},
        command=command,
        manifest=checkout / "sage-doctor.toml",
        home=home,
    )
    return plan_edits(seen, world)


def text_of(form: ShellForm) -> str:
    source = form.source.replace("$S", S)
    return form.first + source + ("" if source.endswith("\n") else "\n")


def apply(plan: FileEdits) -> None:
    """Have git apply what is suggested, in a repository of the checkout."""
    top = plan.path.parents[3]
    subprocess.run(["git", "-C", str(top), "init", "-q"], check=True)
    patch = suggestions([plan], top, done=False).patch
    subprocess.run(["git", "-C", str(top), "apply", "--check", "-"], input=patch, check=True)
    subprocess.run(["git", "-C", str(top), "apply", "-"], input=patch, check=True)


def output(script: Path | str, directory: str = "/", environ: dict[str, str] | None = None) -> str:
    variables = {"PATH": os.environ["PATH"], "HOME": "/", **(environ or {})}
    done = subprocess.run([str(script)], cwd=directory, env=variables, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("form", SHELL_FORMS, ids=lambda f: f.name)
def test_form(form: ShellForm, tmp_path: Path) -> None:
    text = text_of(form)
    plan = planned(tmp_path, text)
    assert plan.edits == ()
    new, taken = suggested(plan)
    assert taken == plan.suggestions
    if form.write is None:
        assert taken == ()
        assert new in (text.encode(), b"")
        return
    assert new.decode() == form.first + form.write.replace("$S", S) + "\n"


@pytest.mark.parametrize("form", WRITTEN, ids=lambda f: f.name)
def test_applied_by_git_it_does_what_it_did_there(form: ShellForm, tmp_path: Path) -> None:
    """As on the machine where the old path holds: the same text with this machine's root in it says what must come."""
    text = text_of(form)
    plan = planned(tmp_path, text)
    checkout = str(plan.path.parents[3])
    apply(plan)
    assert S not in "".join(line for line in plan.path.read_text().splitlines() if not line.startswith("#"))
    new = plan.path.read_bytes()
    said = output(plan.path)
    beside = plan.path.with_name("old.sh")
    beside.write_text(text.replace(S, checkout), encoding="utf-8")
    beside.chmod(0o755)
    wanted = output(beside)
    if "run.sh" not in form.source:  # that one prints itself
        assert said == wanted
        assert said
    else:
        assert said.encode() == new


def test_it_finds_its_place_from_anywhere_and_by_a_link(tmp_path: Path) -> None:
    plan = planned(tmp_path, f"#!/bin/sh\ncd /\nls {S}/zoo/m\n")
    apply(plan)
    link = tmp_path / "bin" / "start"
    link.parent.mkdir()
    link.symlink_to(plan.path)
    for script, directory in ((plan.path, "/"), ("./run.sh", str(plan.path.parent)), (link, str(tmp_path))):
        assert output(script, directory, {"CDPATH": "/:/tmp"}) == "config.json\n"


def test_what_may_be_sourced_asks_bash_and_ends_nobodys_shell(tmp_path: Path) -> None:
    plan = planned(tmp_path, f"MODEL={S}/zoo/m\n")
    apply(plan)
    text = plan.path.read_text()
    assert "BASH_SOURCE" in text
    assert "exit" not in text
    done = subprocess.run(
        ["bash", "-c", f'. {plan.path}; echo "$MODEL"'], cwd="/", capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{plan.path.parents[3]}/zoo/m\n"


def test_a_model_that_lies_elsewhere_is_asked_for(tmp_path: Path) -> None:
    home, checkout = lay_out(tmp_path)
    model = home / "models/ext"
    model.mkdir(parents=True)
    text = "#!/bin/bash\ncat /home/sprout/models/ext/config.json\n"
    (model / "config.json").write_text("here\n", encoding="utf-8")
    plan = planned(tmp_path, text, models={model: "ext"}, command=True)
    asks = 'ext_dir=$(sage-doctor where ext --manifest "$repo_root"/sage-doctor.toml) || exit 1'
    assert suggested(plan)[0].decode() == f'#!/bin/bash\n{ROOT}\n{asks}\ncat "$ext_dir"/config.json\n'
    apply(plan)
    command = tmp_path / "bin/sage-doctor"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\n[ "$*" = "where ext --manifest {checkout}/sage-doctor.toml" ] && echo {model}\n')
    command.chmod(0o755)
    assert output(plan.path, environ={"PATH": f"{command.parent}:{os.environ['PATH']}"}) == "here\n"
    again = planned(tmp_path, plan.path.read_text() + "ls /home/sprout/models/ext\n", models={model: "ext"})
    assert suggested(again)[0].decode().endswith('\nls "$ext_dir"\n')
    (alone,) = planned(tmp_path, text, models={model: "ext"}).suggestions  # no shell would find the command
    assert alone.source == '"$HOME"/models/ext/config.json'


def test_what_both_homes_have_starts_from_the_home(tmp_path: Path) -> None:
    home, _ = lay_out(tmp_path)
    (home / "models/q").mkdir(parents=True)
    text = "#!/bin/bash\nenv echo /home/sprout/models/q\nM=${M:-/home/sprout/models/q}\nls /home/sprout/models/none\n"
    plan = planned(tmp_path, text)
    assert [e.source for e in plan.suggestions] == ['"$HOME"/models/q', '"$HOME"/models/q']
    assert planned(tmp_path, text.replace("env", "HOME=/x env")).suggestions == ()


def test_once_applied_the_same_line_serves_the_next(tmp_path: Path) -> None:
    plan = planned(tmp_path, f"#!/bin/bash\nls {S}/zoo\n")
    apply(plan)
    text = plan.path.read_text()
    again = suggested(planned(tmp_path, f"{text}ls {S}/sage\n"))[0].decode()
    assert again == f'{text}ls "$repo_root"/sage\n'


def test_a_root_with_signs_of_its_own_is_put_into_no_command_line(tmp_path: Path) -> None:
    text = f'#!/bin/bash\nbash -c "cd {S} && ls zoo"\nls {S}/zoo\n'
    plan = planned(tmp_path / "a b", text)
    assert [e.reference.line for e in plan.suggestions] == [3]
    apply(plan)
    plan.path.write_text(plan.path.read_text().replace('bash -c "cd', "# "), encoding="utf-8")
    assert output(plan.path) == "m\n"


LINES = [f.source.replace("$S", S) for f in SHELL_FORMS if f.name not in ("Windows lines", "no syntax", "a batch job")]


@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    parts=st.lists(st.sampled_from(LINES) | st.sampled_from(["", "# é", "x=é", "true", "if true; then"]), max_size=6),
    last=st.sampled_from(["", "\n", "\n\n"]),
)
def test_only_words_and_lines_at_the_top_change(parts: list[str], last: str) -> None:
    text = "#!/bin/bash\n" + "\n".join(parts) + last
    with tempfile.TemporaryDirectory() as place:
        plan = planned(Path(place), text)
        new, taken = suggested(plan)
    if not taken:
        assert new in (text.encode(), b"")  # b"": it is no syntax, and nothing was planned
        return
    lines = text.split("\n")
    for edit in sorted(taken, key=lambda e: e.span, reverse=True):
        line, column, end_line, end_column = edit.span
        old = "\n".join(lines[line - 1 : end_line])[column:]
        assert S in old
        lines[line - 1 : end_line] = [lines[line - 1][:column] + edit.source + lines[end_line - 1][end_column:]]
    defined = {d for e in taken for d in e.defines}
    assert [x for x in new.decode().split("\n") if x not in defined] == [x for x in lines if x not in defined]
    checked = subprocess.run(["bash", "-n"], input=new, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr
