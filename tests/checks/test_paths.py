"""Where models are said to lie."""

from pathlib import Path

import pytest

from tests.model_directories import write_full

from .cases import Bench, Case, Cases

CASES = Cases()


@CASES.passes("check_path")
def a_directory(bench: Bench) -> None:
    write_full(bench.here)


@CASES.skips("check_path", "Hugging Face cache")
def a_hub_reference(bench: Bench) -> None:
    bench.manifest('[models.m]\nkind = "full"\npath = "hf:org/name"\n', "m")


@CASES.finds("check_path", "path-missing", "the deepest existing parent is")
def nothing_there(bench: Bench) -> None:
    bench.here.mkdir()
    bench.manifest('[models.m]\nkind = "full"\npath = "here/gone/away"\n', "m")


@CASES.finds("check_path", "path-foreign-home", "/home/somebody-else")
def the_home_of_another(bench: Bench) -> None:
    bench.manifest('[models.m]\nkind = "full"\npath = "/home/somebody-else/models/m"\n', "m")


@CASES.finds("check_path", "path-dangling-symlink", "gone")
def a_link_to_nothing(bench: Bench) -> None:
    bench.here.symlink_to(bench.root / "gone")
    bench.manifest('[models.m]\nkind = "full"\npath = "here"\n', "m")


@CASES.finds("check_path", "path-dangling-symlink", "itself")
def a_link_to_itself(bench: Bench) -> None:
    bench.here.symlink_to("here")
    bench.manifest('[models.m]\nkind = "full"\npath = "here"\n', "m")


@CASES.finds("check_path", "path-not-directory", "is a file")
def a_file(bench: Bench) -> None:
    bench.here.write_text("")
    bench.manifest('[models.m]\nkind = "full"\npath = "here"\n', "m")


@CASES.finds("check_path", "path-unreadable", "0000")
def a_closed_directory(bench: Bench) -> None:
    bench.here.mkdir(mode=0o000)
    bench.manifest('[models.m]\nkind = "full"\npath = "here"\n', "m")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)


def test_a_similar_name_is_offered(tmp_path: Path) -> None:
    write_full(tmp_path / "models" / "Qwen")
    bench = Bench(root=tmp_path)
    bench.manifest('[models.m]\nkind = "full"\npath = "models/qwen"\n', "m")
    (found,) = bench.run("check_path").findings
    assert str(tmp_path / "models" / "Qwen") in [c["path"] for c in found.evidence["candidates"]]
    assert found.fix.commands == (f"sage-doctor check {tmp_path}/models/Qwen",)
