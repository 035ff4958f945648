"""What every test may rely on."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

# A shell that starts this run in the background ignores SIGINT, and every process below would inherit that: tests of
# ^C would wait for ever. A handler of our own is reset to the default in the programs we start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Each worker has a core. Threads of torch that wait for a core that another worker holds spin, and cost both.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"


@pytest.fixture(scope="session", autouse=True)
def _state_of_nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the runs of tests out of the developer's own history and journal."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.delenv("STATE_DIRECTORY", raising=False)
        yield
