from pathlib import Path

from sage_doctor.system.globbing import glob_files


def test_globs_match_regular_files_below_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    for name in ("run_a.py", "run_b.py", "other.py"):
        (tmp_path / "scripts" / name).touch()
    (tmp_path / "scripts/run_c.py").mkdir()
    assert [p.name for p in glob_files("scripts/run_*.py", tmp_path)] == ["run_a.py", "run_b.py"]
    assert [p.name for p in glob_files(str(tmp_path / "scripts/o*.py"), Path("/"))] == ["other.py"]
    assert glob_files("nowhere/*.py", tmp_path) == []


def test_links_to_their_own_parents_are_not_followed_for_ever(tmp_path: Path) -> None:
    scripts = tmp_path / "scripts"
    (scripts / "deep").mkdir(parents=True)
    (scripts / "deep/run.py").touch()
    (scripts / "top").symlink_to(tmp_path)
    (scripts / "deep/again").symlink_to(tmp_path)
    assert glob_files("scripts/**/*.py", tmp_path) == [scripts / "deep/run.py"]
