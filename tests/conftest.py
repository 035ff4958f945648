"""What every test may rely on."""

import gc
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from sage_doctor.demo import smollm2

from .sharing import arranged, once
from .warm_python import warm_python as start_warm_python

ROOT = Path(__file__).resolve().parents[1]

# A shell that starts this run in the background ignores SIGINT, and every process below would inherit that: tests of
# ^C would wait for ever. A handler of our own is reset to the default in the programs we start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # under nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
# Each worker has a core. Threads of torch that wait for a core that another worker holds spin, and cost both.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let each of several workers begin with what takes long."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers > 1:
        items[:] = arranged(items, workers)


def pytest_collection_finish() -> None:
    """Keep ten thousand tests out of every later collection of garbage: they stay until the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _state_of_nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the runs of tests out of the developer's own history and journal."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.delenv("STATE_DIRECTORY", raising=False)
        yield


@pytest.fixture(scope="session")
def shared_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that all workers of a run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def _started_once(
    shared_directory: Path,
    name: str,
    *modules: str,
    environ: Mapping[str, str],
    interpreter: Path | str = sys.executable,
) -> Path:
    """Return the program of a server that the first worker to need it starts."""
    folder = shared_directory / name
    with once(shared_directory, f"{name}-started") as mark:
        if mark:
            start_warm_python(folder, *modules, environ=environ, interpreter=interpreter)
            mark.touch()
    return folder / "python"


@pytest.fixture(scope="session")
def warm_python(shared_directory: Path) -> Path:
    """A Python, offline, that has imported torch, transformers and PEFT already: one for all workers."""
    environ = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return _started_once(shared_directory, "warm", "torch", "transformers", "peft", environ=environ)


@pytest.fixture(scope="session")
def warm_doctor(shared_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has imported the doctor and its checks already, with nothing of the real home: one for all."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    environ = {**kept, "HOME": str(tmp_path_factory.mktemp("warm-home")), "PYTHONPATH": str(ROOT)}
    ready = ("tests.warm_doctor:warm_up", "tests.warm_doctor:leave_garbage")
    return _started_once(shared_directory, "warm-doctor", *ready, environ=environ)


@pytest.fixture(scope="session")
def warm_merging_doctor(shared_directory: Path, warm_python: Path) -> Path:
    """A `warm_doctor` that has imported torch as well, for commands that merge: one for all. It is itself a fork."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    ready = "tests.warm_doctor:warm_up"
    return _started_once(shared_directory, "warm-merging-doctor", ready, environ=environ, interpreter=warm_python)


@pytest.fixture(scope="session")
def demo_cache(shared_directory: Path, warm_python: Path) -> Path:
    """A user's cache, in which the demo's real model was made from nothing, once for all workers."""
    cache = shared_directory / "demo-cache"
    with once(shared_directory, "demo-model-made") as mark:
        if mark:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("XDG_CACHE_HOME", str(cache))
                patch.setattr(sys, "executable", str(warm_python))
                smollm2.converted()
            mark.touch()
    return cache
