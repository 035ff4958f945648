import os
from pathlib import Path

from sage_doctor.init.machines import other_machines, this_host
from sage_doctor.init.scripts import Mention


def homes(*texts: str) -> dict[str, Mention]:
    return {t: Mention(home=t, file=Path("/x/run.py"), line=1) for t in texts}


def test_this_host_is_named_by_the_variable_or_its_hostname(tmp_path: Path) -> None:
    hostname = os.uname().nodename.lower().partition(".")[0]
    assert this_host({}, Path("/home/me"), tmp_path).hostname == hostname
    here = this_host({"SAGE_MACHINE": "thor"}, Path("/"), tmp_path)
    assert (here.name, here.hostname, here.home, here.python) == ("thor", hostname, None, None)


def test_an_environment_with_the_library_is_what_sessions_may_run_in(tmp_path: Path) -> None:
    (tmp_path / ".venv/lib/python3.11/site-packages").mkdir(parents=True)
    (tmp_path / ".venv/bin").mkdir()
    (tmp_path / ".venv/bin/python").write_text("")
    assert this_host({}, Path("/home/me"), tmp_path).python is None
    (tmp_path / ".venv/lib/python3.11/site-packages/transformers").mkdir()
    assert this_host({}, Path("/home/me"), tmp_path).python == ".venv/bin/python"


def test_homes_of_others_are_machines_and_our_own_is_none(tmp_path: Path) -> None:
    own = tmp_path / "home" / "me"
    own.mkdir(parents=True)
    found = other_machines(homes("/home/sprout", "/Users/thor", str(own), "/home/old"), own, ["/home/old"], ["thor"])
    assert [(m.name, m.mention.home) for m in found] == [("thor-2", "/Users/thor"), ("sprout", "/home/sprout")]
