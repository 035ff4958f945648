from collections.abc import Callable
from pathlib import Path

import pytest

from sage_doctor.demo import cure, incident
from sage_doctor.manifest import Manifest


def test_sessions_run_from_the_adapter_and_the_adapter_has_its_base(
    tmp_path: Path, hollow_model: Path, as_thor: Callable[[Path], Manifest]
) -> None:
    it = incident.lay_out(tmp_path, hollow_model)
    cure.apply(it)
    manifest = as_thor(it.manifest)
    assert manifest.roles["raising"].models == (incident.ADAPTER,)
    assert manifest.models[incident.ADAPTER].base == incident.BASE


def test_runners_name_directories_of_this_machine(tmp_path: Path, hollow_model: Path) -> None:
    it = incident.lay_out(tmp_path, hollow_model)
    cure.apply(it)
    for runner in it.runners:
        names: dict[str, str] = {"__file__": str(runner), "__name__": "runner"}
        exec(compile(runner.read_text(), runner, "exec"), names)  # the constants only: loading is inside functions
        assert Path(names["MODEL"]) == it.adapter
        assert Path(names["BASE"]) == it.base


def test_every_changed_line_is_shown_and_no_other(tmp_path: Path, hollow_model: Path) -> None:
    it = incident.lay_out(tmp_path, hollow_model)
    before = {path: path.read_text().splitlines() for path in (it.manifest, *it.runners)}
    diffs = cure.apply(it)
    assert set(diffs) == set(before)
    for path, diff in diffs.items():
        after = path.read_text().splitlines()
        gone = [line[1:] for line in diff if line.startswith("-") and not line.startswith("---")]
        new = [line[1:] for line in diff if line.startswith("+") and not line.startswith("+++")]
        assert sorted([*before[path], *new]) == sorted([*after, *gone])
    assert '+base = "smollm2"' in diffs[it.manifest]


def test_file_that_reads_otherwise_stops_the_cure_before_anything_is_written(
    tmp_path: Path, hollow_model: Path
) -> None:
    it = incident.lay_out(tmp_path, hollow_model)
    it.manifest.write_text(it.manifest.read_text().replace("introspective-merged", "another"))
    before = [runner.read_text() for runner in it.runners]
    with pytest.raises(ValueError, match=r"sage-doctor\.toml: .* stands there 0 times"):
        cure.apply(it)
    assert [runner.read_text() for runner in it.runners] == before
