from pathlib import Path

from sage_doctor.host import Host


def host(home: Path, **environ: str) -> Host:
    return Host(cwd=home, home=home, environ=environ)


def test_what_was_read_is_remembered_where_xdg_says() -> None:
    home = Path("/home/sprout")
    assert host(home).memory == home / ".cache/sage-doctor"
    assert host(home, XDG_CACHE_HOME="/xdg").memory == Path("/xdg/sage-doctor")
    assert host(home, XDG_CACHE_HOME="relative").memory == home / ".cache/sage-doctor"
