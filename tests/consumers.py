"""What other programs say of the files that are made for them: `make consumers`, a minute or two and a package index.

actionlint reads the workflow and the inputs it gives to the action, pre-commit makes the hooks' environments and runs
them, pip installs the action's own version, Jenkins' schema (as pytest's source distribution has it) reads the JUnit
reports, and, where they are installed, promtool and shellcheck read metrics, rules and steps.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from sage_doctor.render import render
from tests.model_directories import MODEL, write_full
from tests.packaging.composite_action import ACTION, ROOT, doctors_environment, run_action
from tests.render.sample_reports import REPORTS

MANIFEST = """schema = 1
[machines.here]
match.hostname = "*"
roles = ["talk"]
vars.zoo = "{zoo}"
[machines.other]
vars.zoo = "/home/other/zoo"
[roles.talk]
models = ["fine"]
[models.fine]
kind = "full"
path = "{{zoo}}/fine"
"""


def run(*words: str | Path, cwd: Path | None = None, expect: int = 0) -> str:
    """Return what a program printed. Ends the run where its exit code is another one than expected."""
    done = subprocess.run(words, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    text = done.stdout.decode(errors="replace")
    if done.returncode != expect:
        sys.exit(f"{' '.join(map(str, words))}: exit code {done.returncode}, not {expect}\n{text}")
    return text


def actionlint(tools: Path, scratch: Path) -> str:
    """The workflow to copy; the action stands beside it, so that the inputs it is given are looked at as well."""
    workflows = scratch / ".github" / "workflows"
    workflows.mkdir(parents=True)
    run("git", "init", "-q", scratch)
    shutil.copy(ROOT / "action.yml", scratch)
    text = (ROOT / "examples" / "github-actions.yml").read_text(encoding="utf-8")
    (workflows / "models.yml").write_text(re.sub(r"OWNER/sage-doctor@v[0-9.]+", "./", text))
    (scratch / ".github" / "actionlint.yaml").write_text("self-hosted-runner:\n  labels: [thor, sprout]\n")
    run(tools / "actionlint", cwd=scratch)
    (workflows / "models.yml").write_text(re.sub(r"OWNER/sage-doctor@v[0-9.]+", "./", text).replace("artifact:", "x:"))
    said = run(tools / "actionlint", "-oneline", cwd=scratch, expect=1)
    assert 'input "x" is not defined in action' in said, said
    return "the workflow and the action's inputs are sound, and a wrong input is not"


def pre_commit(tools: Path, scratch: Path) -> str:
    """The hooks in a repository of their own, from this checkout: well, then each with what it is there to find."""
    repository = scratch / "repository"
    write_full(scratch / "zoo" / "fine")
    repository.mkdir()
    run("git", "init", "-q", repository)
    (repository / "sage-doctor.toml").write_text(MANIFEST.format(zoo=scratch / "zoo"))
    (repository / "run.sh").write_text("#!/bin/sh\necho well\n")
    run(sys.executable, "-m", "sage_doctor", "lock", cwd=repository)
    run("git", "add", "--all", cwd=repository)

    def hooks(expect: int) -> dict[str, str]:
        words = (tools / "pre-commit", "try-repo", ROOT, "--all-files", "--color", "never")
        said = run(*words, cwd=repository, expect=expect)
        return dict(re.findall(r"^sage-doctor \((\w+).*?\)\.+(Passed|Failed)$", said, re.MULTILINE))

    assert hooks(0) == {"models": "Passed", "hard": "Passed", "lock": "Passed"}
    (repository / "run.sh").write_text("#!/bin/sh\ncat /home/other/zoo/fine/config.json\n")
    write_full(scratch / "zoo" / "fine", hidden_size=16)
    assert hooks(1) == {"models": "Failed", "hard": "Failed", "lock": "Failed"}
    return "three hooks pass on what is well and fail on what is not"


def installed_action(_tools: Path, scratch: Path) -> str:
    """The action with the installation that it does by itself."""
    checkout, runner = scratch / "checkout", scratch / "runner"
    runner.mkdir()
    write_full(checkout / "fine")
    environ = doctors_environment(scratch) | {k: v for k, v in os.environ.items() if k.startswith("PIP_")}
    done = run_action(runner, checkout, environ, targets="fine")
    assert (done.code, done.outputs["verdict"]) == (0, "healthy"), done.out
    (own,) = (p for p in runner.glob("sage-doctor.*") if (p / "pyvenv.cfg").exists())
    assert not list(own.glob("lib/python*/site-packages/torch")), "the action installed torch"
    (checkout / "fine" / MODEL).unlink()
    done = run_action(runner, checkout, environ, targets="fine")
    assert (done.code, done.outputs["verdict"]) == (1, "unhealthy"), done.out
    return "installed into its own environment, without torch; passes, and fails with the weights gone"


def junit(tools: Path, scratch: Path) -> str:
    """Every sample report, by the schema that pytest tests its own JUnit reports with."""
    package = f"pytest=={version('pytest')}"
    run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "pytest", package, "-d", scratch)
    (archive,) = scratch.glob("pytest-*.tar.gz")
    with tarfile.open(archive) as opened:
        (member,) = (m for m in opened.getmembers() if m.name.endswith("/junit-10.xsd"))
        content = opened.extractfile(member)
        assert content is not None
        (scratch / "junit.xsd").write_bytes(content.read())
    for name, made in REPORTS.items():
        (scratch / f"{name}.xml").write_text(render(made(), "junit"), encoding="utf-8")
    script = (
        "import sys; from lxml import etree; schema = etree.XMLSchema(etree.parse(sys.argv[1]));"
        "[schema.assertValid(etree.parse(p)) for p in sys.argv[2:]]"
    )
    run(tools / "python", "-c", script, scratch / "junit.xsd", *sorted(scratch.glob("*.xml")))
    return f"{len(REPORTS)} reports are valid"


def promtool(_tools: Path, scratch: Path) -> str:
    """The metrics, and the alerting rules of docs/monitoring.md with the cases they are there for."""
    page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    rules = next(block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "alert:" in block)
    (scratch / "rules.yml").write_text(rules)
    run("promtool", "check", "rules", "rules.yml", cwd=scratch)
    shutil.copy(ROOT / "tests" / "packaging" / "alerts.yml", scratch)
    run("promtool", "test", "rules", "alerts.yml", cwd=scratch)
    for made in REPORTS.values():
        text = render(made(), "prometheus")
        done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False)
        assert done.returncode in (0, 3), done.stderr  # 3: advice about names
        assert "error while linting" not in done.stderr, done.stderr
    return "metrics and alerting rules are sound, and the rules fire when they should"


def shellcheck(_tools: Path, scratch: Path) -> str:
    """The steps of the action."""
    steps = [step for step in ACTION["runs"]["steps"] if "run" in step]
    for step in steps:
        (scratch / f"{step['id']}.sh").write_text("".join(f"export {n}\n" for n in step["env"]) + step["run"])
    run("shellcheck", "--shell=bash", *sorted(scratch.glob("*.sh")))
    return f"{len(steps)} steps are sound"


CONSUMERS: tuple[Callable[[Path, Path], str], ...] = (
    actionlint,
    junit,
    promtool,
    shellcheck,
    pre_commit,
    installed_action,
)


def main() -> None:
    """Ask each of them, or those that are named; `tools` is where pip put their programs."""
    tools, *names = sys.argv[1:]
    for consumer in CONSUMERS:
        name = consumer.__name__
        if names and name not in names:
            continue
        if name in ("promtool", "shellcheck") and shutil.which(name) is None:
            print(f"{name}: NOT RUN, it is not installed here", flush=True)
            continue
        with tempfile.TemporaryDirectory(prefix=f"sage-doctor-{name}-") as scratch:
            print(f"{name}: {consumer(Path(os.path.abspath(tools)), Path(scratch))}", flush=True)


if __name__ == "__main__":
    main()
