"""The action, the hooks and the workflows to copy: read by their own schemas, and the action's steps run by bash."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml
from check_jsonschema import main as validate
from click.testing import CliRunner

from sage_doctor.cli.app import build_parser
from sage_doctor.render import FORMATS
from tests.model_directories import write_full
from tests.packaging.composite_action import ACTION, ROOT, ActionRun, doctors_environment, run_action

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "file, words",
    [
        ("action.yml", ["vendor.github-actions"]),
        ("examples/github-actions.yml", ["vendor.github-workflows"]),
        ("examples/gitlab-ci.yml", ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"]),
    ],
)
def test_a_file_is_what_its_schema_says(file: str, words: list[str]) -> None:
    done = CliRunner().invoke(validate, ["--builtin-schema", *words, str(ROOT / file)])
    assert done.exit_code == 0, done.output


def test_the_page_has_every_input_and_output() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs" / "ci.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [*ACTION["inputs"], *ACTION["outputs"], *(hook["id"] for hook in HOOKS)]


def test_a_hook_is_a_command_and_its_packages_are_those_of_the_extra() -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for hook in HOOKS:
        program, *words = hook["entry"].split()
        assert program == "sage-doctor"
        build_parser({}, only=words[0]).parse_args(words)
        assert set(hook.get("additional_dependencies", ())) <= set(extra["paths"])


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a model that is well and one that is not there; beside it, `doctor` and `runner`."""
    (tmp_path / "runner").mkdir()
    write_full(tmp_path / "checkout" / "models" / "fine")
    command = tmp_path / "doctor"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m sage_doctor "$@"\n')
    command.chmod(0o755)
    (tmp_path / "checkout" / "sage-doctor.toml").write_text(
        'schema = 1\n[roles.talk]\nmodels = ["fine"]\n[roles.think]\nmodels = ["gone; touch owned"]\n'
        '[models.fine]\nkind = "full"\npath = "models/fine"\n'
        '[models."gone; touch owned"]\nkind = "full"\npath = "models/gone"\n'
    )
    return tmp_path / "checkout"


def run(checkout: Path, **inputs: str) -> ActionRun:
    scratch = checkout.with_name("runner")
    given = {"command": str(checkout.with_name("doctor")), "level": "static", **inputs}
    return run_action(scratch, checkout, doctors_environment(checkout.parent), **given)


def test_a_healthy_machine_passes_and_its_reports_are_uploaded(checkout: Path) -> None:
    done = run(checkout, targets="talk\n")
    assert (done.code, done.outputs["verdict"], done.outputs["exit-code"]) == (0, "healthy", "0"), done.out
    directory = Path(done.outputs["directory"])
    assert done.uploaded == {"name": "sage-doctor-a-runner", "path": str(directory)}
    assert json.loads((directory / "report.json").read_text())["verdict"] == "healthy"
    assert ET.parse(directory / "junit.xml").getroot().tag == "testsuites"
    assert (directory / "report.html").exists() == ("html" in FORMATS)
    assert done.summary == (directory / "summary.md").read_text()
    assert done.summary.startswith("## sage-doctor: healthy")


def test_a_broken_machine_fails_with_an_annotation_and_its_reports_all_the_same(checkout: Path) -> None:
    done = run(checkout, targets="gone; touch owned\nfine", artifact="")
    assert (done.code, done.outputs["verdict"], done.outputs["exit-code"]) == (1, "unhealthy", "1")
    assert "\n::error title=path-missing on " in done.out
    assert "`path-missing`" in done.summary
    assert done.uploaded is None
    assert not list(checkout.rglob("owned"))
    assert "named --version" in run(checkout, targets="--version").out  # a target, never an option


def test_wrong_usage_is_an_annotation_too(checkout: Path) -> None:
    done = run(checkout, level="depth")
    assert (done.code, done.outputs["verdict"], done.summary) == (2, "unknown", "")
    assert "::error title=sage-doctor gave no report::sage-doctor: " in done.out
