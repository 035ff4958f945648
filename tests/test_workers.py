"""Which worker gets which check: models that are built on each other stay together."""

from pathlib import Path

from sage_doctor.selection import Request, select
from sage_doctor.workers import Spreading, position_of

from .model_directories import write_adapter, write_full


def test_the_position_is_read_from_the_id() -> None:
    assert position_of("checks/load.py::check_loads[3]") == 3
    assert position_of("checks/environment.py::check_machine") is None
    assert position_of("own[1]/mine.py::check_it") is None
    assert position_of("own/mine.py::check_it[word]") is None


def test_an_adapter_goes_with_its_base_and_strangers_apart(tmp_path: Path) -> None:
    base = write_full(tmp_path / "tree" / "base")
    write_adapter(tmp_path / "tree" / "a", base)
    write_adapter(tmp_path / "tree" / "b", base)
    write_full(tmp_path / "tree" / "other")
    selection = select(Request(targets=("./tree",), cwd=str(tmp_path)), {"HOME": str(tmp_path / "home")})
    spreading = Spreading(selection)
    groups = {m.name: spreading.group_of(f"checks/x.py::check_x[{n}]") for n, m in enumerate(selection.models)}
    assert groups["a"] == groups["b"] == groups["base"] != groups["other"]
    assert spreading.group_of("checks/x.py::check_x") not in groups.values()
    assert spreading.group_of("own/x.py::check_x[99]") == "own/x.py::check_x[99]"
