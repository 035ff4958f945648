"""The steps of `action.yml`, run as GitHub's runner runs them: bash, the GITHUB_ files, and `${{ … }}` replaced."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))


@dataclass
class ActionRun:
    """A run of the action: `code` of the step that failed or 0, what was printed, and what it left for the job."""

    code: int = 0
    out: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    uploaded: dict[str, str] | None = None


def run_action(scratch: Path, checkout: Path, environ: dict[str, str], **given: str) -> ActionRun:
    """Run the action in `checkout` with these inputs (`fail_on` is `fail-on`); `scratch` is the runner's directory."""
    runner = {"runner.name": "a-runner"}
    inputs = {name: _filled(str(value["default"]), runner) for name, value in ACTION["inputs"].items()}
    unknown = {name.replace("_", "-") for name in given} - inputs.keys()
    assert not unknown, unknown
    inputs.update({name.replace("_", "-"): value for name, value in given.items()})
    values = {f"inputs.{name}": value for name, value in inputs.items()}
    done = ActionRun()
    files = {name: scratch / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for step in ACTION["runs"]["steps"]:
        if "uses" in step:
            if _filled(step["if"], values):
                done.uploaded = {name: _filled(text, values) for name, text in step["with"].items()}
            continue
        if done.code:
            continue
        for file in files.values():
            file.write_text("")
        script = scratch / "step.sh"
        script.write_text(step["run"])
        assert step["shell"] == "bash"
        run = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", script],
            cwd=checkout / _filled(step.get("working-directory", "."), values),
            env={
                **environ,
                "RUNNER_TEMP": str(scratch),
                "GITHUB_ACTION_PATH": str(ROOT),
                **{name: str(file) for name, file in files.items()},
                **{name: _filled(text, values) for name, text in step["env"].items()},
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=300,
            check=False,
        )
        done.code = run.returncode
        done.out += run.stdout.decode()
        written = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
        values |= {f"steps.{step['id']}.outputs.{name}": value for name, value in written.items()}
        done.summary += files["GITHUB_STEP_SUMMARY"].read_text()
    done.outputs = {name: _filled(output["value"], values) for name, output in ACTION["outputs"].items()}
    return done


def _filled(text: str, values: dict[str, str]) -> str:
    """Return a text with its expressions replaced; a name without a value is empty, as in an expression of GitHub's."""
    if "&&" in text:  # the condition of the upload
        names = re.findall(r"([a-z.-]+) != ''", text)
        return "true" if names and all(values.get(name, "") for name in names) else ""
    return re.sub(r"\$\{\{\s*([A-Za-z._-]+)\s*\}\}", lambda match: values.get(match[1], ""), text)


def doctors_environment(home: Path) -> dict[str, str]:
    """Return the environment of a user without settings."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "HOME": str(home), "PYTHONUTF8": "1"}
