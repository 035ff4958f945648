import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sage_doctor.facts.packages import PACKAGES, InterpreterFacts, start_inspection
from tests.probe.stand_in_torch import write_metadata, write_torch


def environment(root: Path) -> Path:
    """Make a real virtual environment without pip; return its site-packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root)], check=True, timeout=120)
    return next(root.glob("lib/python3*/site-packages"))


def install(site: Path, name: str, version: str) -> None:
    folder = site / f"{name}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def package(site: Path, name: str, **files: str) -> None:
    (site / name).mkdir()
    (site / name / "__init__.py").write_text(f"raise SystemExit('{name} was imported')\n")
    for file, text in files.items():
        (site / name / f"{file}.py").write_text(text)


def program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def inspect_interpreter(python: Path | None, *, timeout_s: float = 10) -> InterpreterFacts:
    return start_inspection(python, timeout_s=timeout_s).result()


def test_own_interpreter() -> None:
    facts = inspect_interpreter(None)
    assert facts.problem is None
    assert facts.executable == sys.executable
    assert facts.version == ".".join(map(str, sys.version_info[:3]))
    assert facts.packages.keys() == set(PACKAGES)
    assert facts.packages["numpy"]
    assert facts.site_packages


def test_own_interpreter_asked_as_a_child_says_the_same() -> None:
    own, child = inspect_interpreter(None), inspect_interpreter(Path(sys.executable), timeout_s=60)
    assert child.problem is None, child.detail
    assert child.version == own.version
    assert child.prefix == own.prefix
    assert {n: v for n, v in child.packages.items() if n != "sage-doctor"} == {
        n: v for n, v in own.packages.items() if n != "sage-doctor"
    }


def test_another_environment_with_a_vendors_torch(tmp_path: Path) -> None:
    site = environment(tmp_path / "env")
    install(site, "torch", "2.5.0a0+872d972e41.nv24.08")
    install(site, "huggingface_hub", "0.30.1")
    package(
        site, "torch", version="__version__ = '2.5.0a0+872d972e41.nv24.08'\ncuda: Optional[str] = '12.6'\nhip = None\n"
    )
    package(site, "transformers")
    facts = inspect_interpreter(tmp_path / "env/bin/python", timeout_s=60)
    assert facts.problem is None, facts.detail
    assert facts.prefix == str(tmp_path / "env")
    assert facts.packages["torch"] == "2.5.0a0+872d972e41.nv24.08"
    assert facts.packages["huggingface_hub"] == "0.30.1"
    assert facts.packages["transformers"] is None
    assert facts.torch_local_build == "872d972e41.nv24.08"
    assert facts.torch_accelerator == "cuda"
    assert site in facts.site_packages


def test_an_editable_install_is_found_where_it_lies(tmp_path: Path) -> None:
    site = environment(tmp_path / "env")
    source = tmp_path / "checkout/src"
    source.mkdir(parents=True)
    package(source, "transformers")
    (site / "editable.pth").write_text(f"{source}\n")
    facts = inspect_interpreter(tmp_path / "env/bin/python", timeout_s=60)
    assert source in facts.site_packages


def test_what_lies_in_the_working_directory_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment(tmp_path / "env")
    (tmp_path / "here").mkdir()
    install(tmp_path / "here", "torch", "9.9")
    monkeypatch.chdir(tmp_path / "here")
    facts = inspect_interpreter(Path("../env/bin/python"), timeout_s=60)
    assert facts.problem is None, facts.detail
    assert facts.packages["torch"] is None


def test_chatter_of_sitecustomize_does_not_hide_the_answer(tmp_path: Path) -> None:
    site = environment(tmp_path / "env")
    (site / "sitecustomize.py").write_text("import sys; print('hello', end=''); print('careful', file=sys.stderr)\n")
    assert inspect_interpreter(tmp_path / "env/bin/python", timeout_s=60).problem is None


def test_missing(tmp_path: Path) -> None:
    assert inspect_interpreter(tmp_path / "python").problem == "missing"
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    facts = inspect_interpreter(tmp_path / "link")
    assert facts.problem == "missing"
    assert "gone" in facts.detail


def test_not_executable(tmp_path: Path) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\n")
    assert inspect_interpreter(tmp_path / "python").problem == "not-executable"
    assert inspect_interpreter(tmp_path).problem == "not-executable"
    os.mkfifo(tmp_path / "pipe")
    assert inspect_interpreter(tmp_path / "pipe").problem == "not-executable"


def test_not_python(tmp_path: Path) -> None:
    assert inspect_interpreter(program(tmp_path / "a", "#!/bin/sh\nexit 0\n")).problem == "not-python"
    assert inspect_interpreter(program(tmp_path / "b", "#!/bin/sh\nyes\n")).problem == "not-python"
    assert inspect_interpreter(program(tmp_path / "c", "neither script nor binary\n")).problem == "not-python"


def test_failed(tmp_path: Path) -> None:
    moved = inspect_interpreter(program(tmp_path / "a", "#!/home/other/env/bin/python\n"))
    assert moved.problem == "not-executable"
    assert "#!" in moved.detail
    loader = Path(sys.executable).read_bytes().replace(b"/ld-linux", b"/ld-nowhere"[: len(b"/ld-linux")])
    (tmp_path / "d").write_bytes(loader)
    (tmp_path / "d").chmod(0o755)
    unloadable = inspect_interpreter(tmp_path / "d")
    assert (unloadable.problem, "ld-linux" in unloadable.detail) == ("not-executable", True)
    broken = "#!/bin/sh\necho \"ModuleNotFoundError: No module named 'encodings'\" >&2\nexit 1\n"
    facts = inspect_interpreter(program(tmp_path / "b", broken))
    assert (facts.problem, facts.detail) == ("failed", "ModuleNotFoundError: No module named 'encodings'")
    assert inspect_interpreter(program(tmp_path / "c", "#!/bin/sh\nkill -SEGV $$\n")).detail == "ended by signal 11"


def test_timeout(tmp_path: Path) -> None:
    hanging = program(tmp_path / "python", "#!/bin/sh\nsleep 60\n")
    assert inspect_interpreter(hanging, timeout_s=0.3).problem == "timeout"


def test_inspection_runs_beside_its_caller(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    inspection = start_inspection(program(tmp_path / "python", f"#!/bin/sh\necho > '{seen}'\n"), timeout_s=60)
    for _ in range(500):  # nobody has asked for the result yet
        if seen.exists():
            break
        time.sleep(0.02)
    assert seen.exists()
    assert inspection.result().problem == "not-python"
    assert inspection.result() is inspection.result()


def test_cancelled_inspection_leaves_nothing_running(tmp_path: Path) -> None:
    inspection = start_inspection(program(tmp_path / "python", "#!/bin/sh\nsleep 60\n"), timeout_s=60)
    inspection.cancel()
    assert inspection._child is not None
    assert inspection._child._process.returncode is not None


def test_what_related_packages_ask_for_and_packages_asked_for_besides(tmp_path: Path) -> None:
    write_torch(tmp_path, version="2.5.0a0+872d972e41.nv24.08", cuda="12.6")
    write_metadata(tmp_path, "transformers", "4.57.1", "tokenizers<=0.23,>=0.22", 'torch>=2.2; extra == "torch"')
    write_metadata(tmp_path, "own-thing", "1.0", "nothing-of-ours>=1")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec "{sys.executable}" -S "$@"\n')
    python.chmod(0o755)
    facts = start_inspection(python, timeout_s=60, also=["own_thing", "not-there"]).result()
    assert facts.problem is None, facts.detail
    assert facts.version_of("Own.Thing") == "1.0"
    assert facts.version_of("not-there") is None
    assert facts.version_of("torch") == "2.5.0a0+872d972e41.nv24.08"
    assert facts.needs == {"transformers": ("tokenizers<=0.23,>=0.22", 'torch>=2.2; extra == "torch"')}


def test_the_doctors_own_interpreter_tells_the_same_as_a_child() -> None:
    own, child = inspect_interpreter(None), inspect_interpreter(Path(sys.executable), timeout_s=60)
    assert dict(own.packages) == dict(child.packages)
    assert own.needs == child.needs
    assert any(r.startswith("tokenizers") for r in own.needs["transformers"])
