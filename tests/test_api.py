"""`from sage_doctor import resolve`: which manifest, which directory, and what it says where there is none."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sage_doctor import ModelNotFound, resolve, resolve_adapter
from sage_doctor.errors import ManifestError, UsageError
from tests.model_directories import ADAPTER, INDEX, MODEL, edit_json, write_adapter, write_full, write_sharded

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = """schema = 1
[models.talk]
kind = "full"
path = "zoo/talk"
fallback = ["old-talk"]
[models.old-talk]
kind = "full"
path = "zoo/old"
[models.lora]
kind = "adapter"
path = "zoo/lora"
base = "talk"
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    write_full(tmp_path / "zoo" / "talk")
    write_full(tmp_path / "zoo" / "old")
    write_adapter(tmp_path / "zoo" / "lora", "./nowhere/final_model")
    (tmp_path / "sage-doctor.toml").write_text(MANIFEST)
    return tmp_path


def test_a_complete_model_is_where_the_manifest_says(site: Path) -> None:
    assert resolve("talk", manifest=site / "sage-doctor.toml") == site / "zoo" / "talk"


def test_an_adapter_comes_with_the_base_the_manifest_names(site: Path) -> None:
    places = resolve_adapter("lora", manifest=site / "sage-doctor.toml")
    assert places == (site / "zoo" / "lora", site / "zoo" / "talk")
    with pytest.raises(UsageError, match="talk is of kind 'full', not an adapter"):
        resolve_adapter("talk", manifest=site / "sage-doctor.toml")


def test_the_manifest_is_found_from_the_script_upwards_whatever_the_working_directory(site: Path) -> None:
    script = site / "scripts" / "deep" / "run.py"
    script.parent.mkdir(parents=True)
    script.write_text("from sage_doctor import resolve\nprint(resolve('talk'))\n")
    done = run([sys.executable, str(script)], cwd=Path("/"))
    assert done.stdout == f"{site}/zoo/talk\n"


def test_the_manifest_is_found_from_the_working_directory_where_the_script_has_none(site: Path) -> None:
    done = run([sys.executable, "-c", "from sage_doctor import resolve; print(resolve('talk'))"], cwd=site / "zoo")
    assert done.stdout == f"{site}/zoo/talk\n"


def test_the_environment_is_asked_last(site: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    words = [sys.executable, "-c", "from sage_doctor import resolve; print(resolve('talk'))"]
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    done = run(words, cwd=elsewhere, SAGE_DOCTOR_MANIFEST=str(site / "sage-doctor.toml"))
    assert done.stdout == f"{site}/zoo/talk\n"
    lost = run(words, cwd=elsewhere, check=False)
    assert "UsageError: no sage-doctor.toml beside this script" in lost.stderr


def test_an_allowed_substitute_is_given_with_a_warning(site: Path, caplog: pytest.LogCaptureFixture) -> None:
    (site / "zoo" / "talk" / MODEL).unlink()
    with caplog.at_level(logging.WARNING, logger="sage_doctor"):
        assert resolve("talk", manifest=site / "sage-doctor.toml") == site / "zoo" / "old"
    assert caplog.messages == [
        "old-talk is used instead of talk (talk: the weights are missing), because the manifest allows it"
    ]


def test_a_complete_model_needs_no_substitute_and_no_warning(site: Path, caplog: pytest.LogCaptureFixture) -> None:
    resolve("talk", manifest=site / "sage-doctor.toml")
    assert caplog.messages == []


def test_without_anything_complete_the_text_is_the_doctors_finding(site: Path) -> None:
    (site / "zoo" / "talk" / MODEL).unlink()
    shutil.rmtree(site / "zoo" / "old")
    with pytest.raises(ModelNotFound) as caught:
        resolve("talk", manifest=site / "sage-doctor.toml")
    text = str(caught.value)
    assert text.startswith("talk: weights-missing: no weights: no model.safetensors")
    assert "\n  Copy the weights from a machine that has them" in text


@pytest.mark.parametrize(
    "harm",
    [
        lambda zoo: shutil.rmtree(zoo / "old"),
        lambda zoo: (zoo / "old" / "config.json").write_text("{"),
        lambda zoo: os.truncate(zoo / "old" / MODEL, 100),
        lambda zoo: (zoo / "old" / MODEL).write_text("version https://git-lfs.github.com/spec/v1\n"),
    ],
    ids=["gone", "broken config", "cut off", "a pointer"],
)
def test_what_is_not_complete_is_not_given(site: Path, harm: object) -> None:
    harm(site / "zoo")  # type: ignore[operator]
    with pytest.raises(ModelNotFound, match=r"^old-talk: "):
        resolve("old-talk", manifest=site / "sage-doctor.toml")


def test_a_missing_shard_is_noticed(site: Path) -> None:
    shutil.rmtree(site / "zoo" / "old")
    write_sharded(site / "zoo" / "old")
    assert resolve("old-talk", manifest=site / "sage-doctor.toml") == site / "zoo" / "old"
    next((site / "zoo" / "old").glob("model-00002*")).unlink()
    with pytest.raises(ModelNotFound):
        resolve("old-talk", manifest=site / "sage-doctor.toml")
    assert (site / "zoo" / "old" / INDEX).exists()


@pytest.mark.parametrize(
    "harm",
    [
        lambda zoo: (zoo / "lora" / ADAPTER).unlink(),
        lambda zoo: (zoo / "lora" / "adapter_config.json").unlink(),
        lambda zoo: (zoo / "talk" / MODEL).unlink(),
    ],
    ids=["no weights", "no configuration", "a base without weights"],
)
def test_an_adapter_is_complete_with_its_base_only(site: Path, harm: object) -> None:
    harm(site / "zoo")  # type: ignore[operator]
    with pytest.raises(ModelNotFound):
        resolve_adapter("lora", manifest=site / "sage-doctor.toml")


def test_an_adapter_whose_base_nobody_names_is_not_complete(site: Path) -> None:
    manifest = site / "sage-doctor.toml"
    manifest.write_text(MANIFEST.replace('base = "talk"\n', ""))
    with pytest.raises(ModelNotFound, match="adapter-base-missing"):
        resolve_adapter("lora", manifest=manifest)
    edit_json(site / "zoo" / "lora" / "adapter_config.json", base_model_name_or_path=str(site / "zoo" / "talk"))
    assert resolve_adapter("lora", manifest=manifest).base == site / "zoo" / "talk"


def test_names_and_manifests_that_are_wrong_are_told(site: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'talk'"):
        resolve("tolk", manifest=site / "sage-doctor.toml")
    with pytest.raises(ManifestError, match="no such file"):
        resolve("talk", manifest=site / "gone.toml")
    (site / "sage-doctor.toml").write_text(MANIFEST.replace('old-talk"]', 'odl-talk"]'))
    with pytest.raises(ManifestError, match=r"sage-doctor.toml:5: unknown model 'odl-talk' in .*did you mean"):
        resolve("talk", manifest=site / "sage-doctor.toml")


def test_neither_the_import_nor_the_answer_brings_pytest_rich_or_torch(site: Path) -> None:
    code = """
        import sys
        from sage_doctor import resolve
        early = {"dataclasses", "tomllib", "json", "subprocess", "logging.handlers"} & set(sys.modules)
        resolve("talk")
        late = {"pytest", "rich", "torch", "transformers", "numpy", "safetensors"} & set(sys.modules)
        print(early, late)
        from sage_doctor import resolve as again
        print(callable(again))
    """
    done = run([sys.executable, "-c", textwrap.dedent(code)], cwd=site)
    assert done.stdout == "set() set()\nTrue\n"


def run(words: list[str], *, cwd: Path, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=check)
