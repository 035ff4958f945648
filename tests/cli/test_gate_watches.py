"""What a recorded result of the gate holds for: whatever a load reads, wherever links lead, and only if we wrote it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gate.stand_in import write_site
from tests.model_directories import MODEL, write_adapter, write_full

from .conftest import Doctor

GATE = ("gate", "talk", "--level", "static")
STILL = "nothing changed since"


def shards_behind_a_link(site: Path) -> Path:
    """Move the weights of m0 into two shards below a directory that is a link; return the second."""
    model, disk = site / "zoo" / "m0", site / "disk"
    disk.mkdir()
    (model / "weights").symlink_to("../../disk")
    os.rename(model / MODEL, disk / "part.safetensors")
    raw = (disk / "part.safetensors").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    names = {name: "weights/part.safetensors" for name in header if name != "__metadata__"}
    (model / f"{MODEL}.index.json").write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": names}))
    return disk / "part.safetensors"


def test_a_shard_below_a_linked_directory_is_watched(doctor: Doctor, tmp_path: Path) -> None:
    site = write_site(tmp_path / "site", None)
    shard = shards_behind_a_link(site)
    assert doctor(*GATE, cwd=site).out.startswith("open: talk: m0 is ready")
    assert STILL in doctor(*GATE, cwd=site).out
    os.truncate(shard, 1000)
    done = doctor(*GATE, "--", "echo", "session started", cwd=site)
    assert (done.code, done.out) == (1, "")
    assert "weights-truncated" in done.err


def test_a_base_behind_links_is_watched(doctor: Doctor, tmp_path: Path) -> None:
    site = write_site(tmp_path / "site", None)
    base = write_full(tmp_path / "disk" / "base")
    (site / "bases").symlink_to(tmp_path / "disk")
    write_adapter(site / "zoo" / "a", base=str(site / "bases" / "base"))
    manifest = site / "sage-doctor.toml"
    text = manifest.read_text().replace('["m0"]', '["a"]') + '[models.a]\nkind = "adapter"\npath = "zoo/a"\n'
    manifest.write_text(text)
    assert doctor(*GATE, cwd=site).code == 0
    assert STILL in doctor(*GATE, cwd=site).out
    os.truncate(base / MODEL, 1000)
    assert doctor(*GATE, cwd=site).code == 1


def test_a_base_of_the_hub_holds_in_every_directory_that_has_nothing_of_its_name(
    doctor: Doctor, tmp_path: Path
) -> None:
    site, other = write_site(tmp_path / "site", None), tmp_path / "other"
    other.mkdir()
    write_full(_repository(tmp_path / "home", "org/m"))
    write_adapter(site / "zoo" / "a", base="org/m")
    manifest = site / "sage-doctor.toml"
    manifest.write_text(
        manifest.read_text().replace('["m0"]', '["a"]') + '[models.a]\nkind = "adapter"\npath = "zoo/a"\n'
    )
    named = (*GATE, "--manifest", str(manifest))
    hub = str(tmp_path / "home/.cache/huggingface")
    assert doctor(*named, cwd=site, HF_HOME=hub).code == 0
    assert STILL in doctor(*named, cwd=other, HF_HOME=hub).out
    (other / "org/m").mkdir(parents=True)
    assert STILL not in doctor(*named, cwd=other, HF_HOME=hub).out


REACHED = {
    "sourced": ("run.sh", "#!/bin/sh\n. scripts/env.sh\n", "env.sh", "cat /data/gone/x\n"),
    "started": ("run.sh", "#!/bin/sh\nexec python3 scripts/a.py\n", "a.py", 'open("/data/gone/x")\n'),
    "imported": ("run.py", "import config\n", "config.py", 'open("/data/gone/x")\n'),
}


@pytest.mark.parametrize("case", REACHED)
@pytest.mark.parametrize("there", [True, False], ids=["changed", "new"])
def test_what_a_runner_reaches_is_watched(case: str, there: bool, doctor: Doctor, tmp_path: Path) -> None:
    name, text, other, bad = REACHED[case]
    site = write_site(tmp_path / "site", None)
    (site / "scripts").mkdir()
    (site / "scripts" / name).write_text(text)
    if there:
        (site / "scripts" / other).write_text("\n")
    manifest = site / "sage-doctor.toml"
    manifest.write_text(manifest.read_text().replace("[models.m0]", f'runners = ["scripts/{name}"]\n[models.m0]', 1))
    assert doctor(*GATE, cwd=site).code == 0
    assert STILL in doctor(*GATE, cwd=site).out
    (site / "scripts" / other).write_text(bad)
    done = doctor(*GATE, "--", "echo", "session started", cwd=site)
    assert (done.code, done.out) == (1, "")
    assert f"scripts/{other}: runner-path-missing: line 1: /data/gone/x" in done.err
    assert f"(scripts/{name} runs this file)" in done.err


def _in_its_place(site: Path) -> None:
    other = site / "zoo" / "other"
    shutil.copytree(site / "zoo" / "m0", other)
    os.truncate(other / MODEL, 1000)
    os.unlink(site / "hop")
    os.symlink("zoo/other", site / "hop")


@pytest.mark.parametrize("change", [_in_its_place, lambda s: os.truncate(s / "zoo/m0" / MODEL, 1000)])
def test_a_model_directory_that_is_a_link_to_a_link(
    doctor: Doctor, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    site = write_site(tmp_path / "site", None)
    (site / "hop").symlink_to("zoo/m0")
    (site / "model").symlink_to("hop")
    manifest = site / "sage-doctor.toml"
    manifest.write_text(manifest.read_text().replace("zoo/m0", "model"))
    assert doctor(*GATE, cwd=site).code == 0
    assert STILL in doctor(*GATE, cwd=site).out
    change(site)
    assert doctor(*GATE, cwd=site).code == 1


def test_a_runner_in_a_new_directory_is_noticed(doctor: Doctor, tmp_path: Path) -> None:
    site = write_site(tmp_path / "site", None)
    manifest = site / "sage-doctor.toml"
    manifest.write_text(manifest.read_text().replace("[models.m0]", 'runners = ["runs/*/session.py"]\n[models.m0]', 1))
    (site / "runs" / "one").mkdir(parents=True)
    (site / "runs" / "one" / "session.py").write_text("print(1)\n")
    assert doctor(*GATE, cwd=site).code == 0
    assert STILL in doctor(*GATE, cwd=site).out
    (site / "runs" / "two").mkdir()
    (site / "runs" / "two" / "session.py").write_text("print(1)\n")
    assert STILL not in doctor(*GATE, cwd=site).out


def test_what_is_written_beside_a_runner_is_no_runner(doctor: Doctor, tmp_path: Path) -> None:
    """Logs and `__pycache__` changed the time of the runners' directory, and each cost a static re-check."""
    site = write_site(tmp_path / "site", None)
    manifest = site / "sage-doctor.toml"
    manifest.write_text(manifest.read_text().replace("[models.m0]", 'runners = ["runs/run_*.py"]\n[models.m0]', 1))
    (site / "runs").mkdir()
    (site / "runs/run_a.py").write_text("print()\n")
    assert doctor(*GATE, cwd=site).code == 0
    (site / "runs/run_a.log").write_text("x")
    (site / "runs/__pycache__").mkdir()
    assert STILL in doctor(*GATE, cwd=site).out
    (site / "runs/run_b.py").write_text("print()\n")
    done = doctor(*GATE, cwd=site)
    assert "other files are the role's runners" in done.out + done.err


def test_what_a_runner_needs_is_watched_and_what_is_in_it_is_not(doctor: Doctor, tmp_path: Path) -> None:
    site = write_site(tmp_path / "site", None)
    (site / "runs").mkdir()
    needed = site / "zoo/needed"
    needed.mkdir()
    shell = site / "sh"
    shell.symlink_to("/bin/sh")
    (site / "runs/session.sh").write_text(f"#!{shell}\ncd {needed}\n")
    (site / "runs/run.yaml").write_text("seed: 1\n")
    (site / "runs/session.py").write_text('CONFIG = "runs/run.yaml"\n')
    manifest = site / "sage-doctor.toml"
    manifest.write_text(manifest.read_text().replace("[models.m0]", 'runners = ["runs/session.*"]\n[models.m0]', 1))
    assert doctor(*GATE, cwd=site).code == 0
    (needed / "written by a session").touch()
    assert STILL in doctor(*GATE, cwd=site).out
    shutil.rmtree(needed)
    done = doctor(*GATE, cwd=site)
    assert (done.code, "runner-path-missing" in done.out) == (1, True)
    needed.mkdir()
    assert doctor(*GATE, cwd=site).code == 0
    shell.unlink()
    assert STILL not in doctor(*GATE, cwd=site).out
    (site / "runs/run.yaml").write_text(f"model_path: {site}/zoo/gone\n")
    assert doctor(*GATE, cwd=site).code == 1


def test_a_library_that_would_be_found_first_is_noticed(
    doctor: Doctor, tmp_path: Path, environment: dict[str, str]
) -> None:
    site = write_site(tmp_path / "site", None)
    first = tmp_path / "first"
    first.mkdir()
    run = {"cwd": site, "PYTHONPATH": f"{environment['PYTHONPATH']}:{first}"}
    assert doctor(*GATE, **run).code == 0
    (first / "session.log").touch()
    assert STILL in doctor(*GATE, **run).out
    (first / "transformers").mkdir()
    assert STILL not in doctor(*GATE, **run).out


# -- what checks read outside the models' directories ------------------------------------------------------------------


def _manifest(site: Path, old: str, new: str) -> None:
    manifest = site / "sage-doctor.toml"
    manifest.write_text(manifest.read_text().replace(old, new, 1))


def _runner(site: Path, text: str) -> Path:
    runner = site / "runs" / "session.py"
    runner.parent.mkdir()
    runner.write_text(text)
    _manifest(site, "[models.m0]", 'runners = ["runs/session.*"]\n[models.m0]')
    return runner


def _repository(home: Path, name: str) -> Path:
    """Return the snapshot of a repository in the cache of this home."""
    commit = "a" * 40
    folder = home / ".cache" / "huggingface" / "hub" / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "blobs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots" / commit).mkdir(parents=True)
    return folder / "snapshots" / commit


def test_a_variable_in_a_path_that_has_another_value(doctor: Doctor, tmp_path: Path) -> None:
    site = write_site(tmp_path / "site", None)
    shutil.copytree(site / "zoo", site / "other")
    os.truncate(site / "other" / "m0" / MODEL, 1000)
    _manifest(site, '"zoo/m0"', '"{env:ZOO}/m0"')
    assert doctor(*GATE, cwd=site, ZOO=str(site / "zoo")).code == 0
    assert STILL in doctor(*GATE, cwd=site, ZOO=str(site / "zoo")).out
    assert doctor(*GATE, cwd=site, ZOO=str(site / "other")).code == 1


def test_a_cache_that_a_variable_in_a_variable_names(doctor: Doctor, tmp_path: Path) -> None:
    site, home = write_site(tmp_path / "site", None), tmp_path / "home"
    write_full(_repository(home, "org/m"))
    _manifest(site, '"zoo/m0"', '"hf:org/m"')
    run = {"cwd": site, "HF_HOME": "$CACHES/huggingface"}
    assert doctor(*GATE, **run, CACHES=str(home / ".cache")).code == 0
    assert STILL in doctor(*GATE, **run, CACHES=str(home / ".cache")).out
    assert doctor(*GATE, **run, CACHES=str(tmp_path / "nowhere")).code == 1


def test_code_in_another_repository_is_watched(doctor: Doctor, tmp_path: Path) -> None:
    site = write_site(tmp_path / "site", None)
    config = site / "zoo" / "m0" / "config.json"
    values = {**json.loads(config.read_text()), "model_type": "its_own", "auto_map": {"AutoModel": "org/code--own.Own"}}
    config.write_text(json.dumps(values))
    code = _repository(tmp_path / "home", "org/code") / "own.py"
    code.write_text("class Own: pass\n")
    assert doctor(*GATE, cwd=site).code == 0
    assert STILL in doctor(*GATE, cwd=site).out
    code.unlink()
    done = doctor(*GATE, cwd=site)
    assert (done.code, "custom-code-missing" in done.out) == (1, True)


def test_a_download_that_was_cut_since(doctor: Doctor, tmp_path: Path) -> None:
    site = write_site(tmp_path / "site", None)
    snapshot = _repository(tmp_path / "home", "org/m")
    write_full(snapshot)
    _manifest(site, '"zoo/m0"', '"hf:org/m"')
    strict = (*GATE, "--fail-on", "warning")
    assert doctor(*strict, cwd=site).code == 0
    assert STILL in doctor(*strict, cwd=site).out
    (snapshot.parents[1] / "blobs" / ("f" * 64 + ".incomplete")).touch()
    assert doctor(*strict, cwd=site).code == 1


@pytest.mark.parametrize("place", ["configs", "runs/configs"])
def test_a_configuration_of_a_runner_that_comes_later(doctor: Doctor, tmp_path: Path, place: str) -> None:
    site = write_site(tmp_path / "site", None)
    _runner(site, 'CONFIG = "configs/run.yaml"\n')
    (site / place).mkdir()
    assert doctor(*GATE, cwd=site).code == 0
    assert STILL in doctor(*GATE, cwd=site).out
    (site / place / "run.yaml").write_text(f"model_path: {site}/zoo/gone\n")
    assert doctor(*GATE, cwd=site).code == 1


def test_what_a_runner_reads_beside_itself(doctor: Doctor, tmp_path: Path) -> None:
    site = write_site(tmp_path / "site", None)
    words = site / "words.txt"
    words.touch()
    _runner(site, "from pathlib import Path\nopen(Path(__file__).resolve().parents[1] / 'words.txt').read()\n")
    assert doctor(*GATE, cwd=site).code == 0
    words.write_text("what is in it does not count")
    assert STILL in doctor(*GATE, cwd=site).out
    words.unlink()
    assert doctor(*GATE, cwd=site).code == 1


def test_the_program_that_a_runner_asks_env_for(doctor: Doctor, tmp_path: Path, environment: dict[str, str]) -> None:
    site, programs = write_site(tmp_path / "site", None), tmp_path / "programs"
    programs.mkdir()
    (programs / "my-python").symlink_to("/bin/sh")
    _runner(site, "#!/usr/bin/env my-python\n").chmod(0o755)
    login = {"cwd": site, "PATH": f"{environment['PATH']}:{programs}"}
    strict = (*GATE, "--fail-on", "warning")
    assert doctor(*strict, **login).code == 0
    assert doctor(*strict, cwd=site).code == 1, "cron's PATH has no such program"
    assert STILL in doctor(*strict, **login).out
    (programs / "my-python").unlink()
    assert doctor(*strict, **login).code == 1


def test_the_program_behind_a_script_that_is_the_interpreter(doctor: Doctor, tmp_path: Path, python: Path) -> None:
    script, inner = tmp_path / "wrapped", tmp_path / "inner"
    inner.symlink_to(python)
    script.write_text(f'#!/bin/sh\nexec "{inner}" "$@"\n')
    script.chmod(0o755)
    site = write_site(tmp_path / "site", script)
    assert doctor(*GATE, cwd=site).code == 0
    assert STILL in doctor(*GATE, cwd=site).out
    inner.unlink()
    assert doctor(*GATE, cwd=site).code == 1


def test_a_required_package_that_pythonpath_names(doctor: Doctor, tmp_path: Path, environment: dict[str, str]) -> None:
    site, source = write_site(tmp_path / "site", None), tmp_path / "source"
    metadata = source / "zebra-1.5.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: zebra\nVersion: 1.5\n")
    _manifest(site, "schema = 1", 'schema = 1\nrequires = ["zebra>=1.2"]')
    run = {"cwd": site, "PYTHONPATH": f"{environment['PYTHONPATH']}:{source}"}
    assert doctor(*GATE, **run).code == 0
    assert STILL in doctor(*GATE, **run).out
    metadata.write_text("Metadata-Version: 2.1\nName: zebra\nVersion: 1.0\n")
    assert doctor(*GATE, **run).code == 1


def test_a_source_of_a_library_that_was_edited_in_place(
    doctor: Doctor, tmp_path: Path, environment: dict[str, str]
) -> None:
    site, source = write_site(tmp_path / "site", None), tmp_path / "source"
    metadata = source / "transformers-5.0.0.dist-info" / "METADATA"
    table = source / "transformers" / "models" / "auto" / "configuration_auto.py"
    for path in (metadata, table):
        path.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: transformers\nVersion: 5.0.0\n")
    (source / "transformers" / "__init__.py").touch()
    table.write_text('CONFIG_MAPPING_NAMES = {"its_own": "OwnConfig"}\n')
    config = site / "zoo" / "m0" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_type": "its_own"}))
    run = {"cwd": site, "PYTHONPATH": f"{source}:{environment['PYTHONPATH']}"}
    assert doctor(*GATE, **run).code == 0
    assert STILL in doctor(*GATE, **run).out
    table.write_text('CONFIG_MAPPING_NAMES = {"bert": "BertConfig"}\n')
    done = doctor(*GATE, **run)
    assert (done.code, "config-type-unknown" in done.out) == (1, True)


def test_a_manifest_that_is_named_in_two_ways_has_two_results(doctor: Doctor, tmp_path: Path) -> None:
    site = write_site(tmp_path / "site", None)
    (tmp_path / "link").symlink_to(site)
    for way in (site, tmp_path / "link"):
        assert doctor(*GATE, "-m", str(way / "sage-doctor.toml")).code == 0
    for way in (site, tmp_path / "link"):
        assert STILL in doctor(*GATE, "-m", str(way / "sage-doctor.toml")).out


# -- whose result it is -----------------------------------------------------------------------------------------------


def _given_away(state: Path) -> None:
    for path in (state / "sage-doctor", *(state / "sage-doctor").rglob("*")):
        os.chown(path, 65534, 65534)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize(
    "change",
    [
        _given_away,
        lambda state: os.chmod(state / "sage-doctor", 0o777),
        lambda state: [p.chmod(0o666) for p in (state / "sage-doctor" / "gate").glob("*.json")],
        lambda state: os.chmod(state, 0o777),
    ],
    ids=["of another user", "a directory for everybody", "a file for everybody", "no sticky bit above"],
)
def test_a_result_that_others_could_have_written_opens_nothing(
    doctor: Doctor, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    site, state = write_site(tmp_path / "site", None), tmp_path / "state"
    state.mkdir()
    state.chmod(0o1777)
    run = {"cwd": site, "XDG_STATE_HOME": str(state)}
    assert doctor(*GATE, **run).code == 0
    assert STILL in doctor(*GATE, **run).out
    assert all(p.stat().st_mode & 0o077 == 0 for p in (state / "sage-doctor" / "gate").iterdir())
    change(state)
    done = doctor(*GATE, **run)
    assert (done.code, done.out) == (0, "open: talk: m0 is ready\n")
    assert done.err.count("is neither read nor written: ") <= 2
    assert "is neither read nor written: " in done.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_hash_that_another_user_wrote_vouches_for_nothing(doctor: Doctor, tmp_path: Path) -> None:
    site, cache = write_site(tmp_path / "site", None), tmp_path / "cache"
    run = {"cwd": site, "XDG_CACHE_HOME": str(cache)}
    os.utime(site / "zoo" / "m0" / MODEL, (1, 1))
    assert doctor("lock", **run).code == 0
    hashes = cache / "sage-doctor" / "hashes.json"
    cache.mkdir(exist_ok=True)
    hashes.parent.mkdir(exist_ok=True)
    hashes.write_text(json.dumps({"version": 2, "files": {}}))
    os.chown(hashes, 65534, 65534)
    done = doctor("lock", "--check", **run)
    assert done.code == 0
    assert f"{hashes} is neither read nor written" in done.err
