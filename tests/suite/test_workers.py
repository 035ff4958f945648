"""Which worker gets which check: models that are built on each other stay together."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from sage_doctor.subjects.selection import Request, select
from sage_doctor.suite.pytest_internals import pop_crashed_test
from sage_doctor.suite.workers import GroupScheduler, position_of
from tests.model_directories import write_adapter, write_full


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
    spreading = GroupScheduler(selection)
    groups = {m.name: spreading.group_of(f"checks/x.py::check_x[{n}]") for n, m in enumerate(selection.models)}
    assert groups["a"] == groups["b"] == groups["base"] != groups["other"]
    assert spreading.group_of("checks/x.py::check_x") not in groups.values()
    assert spreading.group_of("own/x.py::check_x[99]") == "own/x.py::check_x[99]"


def test_what_a_worker_died_of_is_told_once_and_given_to_no_other() -> None:
    work = {"model 0": {"x[0]": True, "y[0]": False, "z[0]": False}, "model 1": {"x[1]": False}}
    assert pop_crashed_test(work) == "y[0]"
    assert work == {"model 0": {"x[0]": True, "y[0]": True, "z[0]": False}, "model 1": {"x[1]": False}}


def test_a_worker_that_did_all_died_of_nothing() -> None:
    assert pop_crashed_test({"model 0": {"x[0]": True}}) is None
    assert pop_crashed_test({}) is None


def test_the_rest_of_a_dead_workers_tests_goes_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    """With xdist's own scheduler, and workers that only take note of what they are sent."""
    write_full(tmp_path / "m")
    spreading = GroupScheduler(select(Request(targets=("./m",), cwd=str(tmp_path)), {"HOME": str(tmp_path / "home")}))
    monkeypatch.setattr("xdist.scheduler.loadscope.parse_tx_spec_config", lambda _: ["popen"] * 2)
    scheduler = spreading.pytest_xdist_make_scheduler(pytestconfig, None)
    workers = [Worker("one"), Worker("two")]
    tests = ["c.py::x[0]", "c.py::y[0]", "c.py::z[0]", *(f"c.py::alone_{n}" for n in range(6))]
    for worker in workers:
        scheduler.add_node(worker)
        scheduler.add_node_collection(worker, tests)
    scheduler.schedule()
    first = next(w for w in workers if w.sent[:1] == [0])
    scheduler.mark_test_complete(first, 0)
    other = next(w for w in workers if w is not first)

    assert scheduler.remove_node(first) == "c.py::y[0]"
    for index in other.sent:  # which grows
        scheduler.mark_test_complete(other, index)
    assert 2 in other.sent, "z is left"
    assert 1 not in other.sent, "y killed a worker already"
    assert scheduler.remove_node(other) is None


class Worker:
    """A worker as far as a scheduler sees it."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.sent: list[int] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        self.sent += indices

    def shutdown(self) -> None:
        self.shutting_down = True
