from collections.abc import Callable
from pathlib import Path

import pytest

from sage_doctor.demo import cure, incident
from sage_doctor.manifest import Manifest


def constants(runner: Path) -> dict[str, str]:
    names: dict[str, str] = {"__file__": str(runner), "__name__": "runner"}
    exec(compile(runner.read_text(), runner, "exec"), names)  # the constants only: loading is inside functions
    return names


def test_runners_name_the_merged_model_where_the_manifest_says_it_lies(
    tmp_path: Path, hollow_model: Path, as_thor: Callable[[Path], Manifest]
) -> None:
    it = incident.lay_out(tmp_path, hollow_model)
    (it.merged / incident.WEIGHTS).write_text("merged")
    cure.apply(it)
    for runner in it.runners:
        names = constants(runner)
        assert Path(names["MODEL"]) == it.merged == as_thor(it.manifest).models[incident.MERGED].path.path
        assert names["BASE"] == ""


def test_every_changed_line_is_shown_and_no_other(tmp_path: Path, hollow_model: Path) -> None:
    it = incident.lay_out(tmp_path, hollow_model)
    before = {path: path.read_text().splitlines() for path in (it.manifest, *it.runners)}
    diffs = cure.apply(it)
    assert set(diffs) == {it.runners[0]}
    for path, lines in before.items():
        after = path.read_text().splitlines()
        diff = diffs.get(path, [])
        gone = [line[1:] for line in diff if line.startswith("-") and not line.startswith("---")]
        new = [line[1:] for line in diff if line.startswith("+") and not line.startswith("+++")]
        assert sorted([*lines, *new]) == sorted([*after, *gone])


def test_file_that_reads_otherwise_stops_the_cure_before_anything_is_written(
    tmp_path: Path, hollow_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = incident.lay_out(tmp_path, hollow_model)
    before = [runner.read_text() for runner in it.runners]
    asked = cure.edits(it)
    monkeypatch.setattr(cure, "edits", lambda _it: {**asked, it.runners[1]: (("no such line", "x"),)})
    with pytest.raises(ValueError, match=r"run_session_identity_anchored\.py: .* stands there 0 times"):
        cure.apply(it)
    assert [runner.read_text() for runner in it.runners] == before
