"""The packages of the sessions' interpreter, none of which is imported.

Another interpreter is asked in a child process that needs nothing of sage-doctor and runs on Python 2.7 to 3.x.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

from sage_doctor.errors import DoctorError, system_refusal
from sage_doctor.facts.library_source import TorchAccelerator, torch_build
from sage_doctor.readers.versions import plain_name
from sage_doctor.system.child import Child, ChildResult
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import inspect_path

Problem = Literal["missing", "not-executable", "not-python", "timeout", "failed"]

PACKAGES = (
    "torch", "transformers", "peft", "safetensors", "accelerate", "tokenizers", "huggingface_hub", "numpy",
    "sentencepiece", "tiktoken", "protobuf", "bitsandbytes", "auto_gptq", "gptqmodel", "autoawq",
    "compressed_tensors", "optimum", "optimum-quanto", "torchao", "hqq", "aqlm", "eetq", "vptq", "auto-round",
    "fbgemm-gpu-genai", "amd-quark", "flash_attn", "triton", "kernels", "jinja2", "sage-doctor",
)  # fmt: skip
# What these ask of each other is what breaks: an upgrade of one of them alone.
RELATED = ("transformers", "peft", "accelerate", "tokenizers", "huggingface_hub", "bitsandbytes")

_MARKER = "SAGE-DOCTOR-PACKAGES "
# The places of torch, transformers and peft are asked for by name, because an editable install lies elsewhere; such a
# place comes first, because what PYTHONPATH names hides what is installed.
# A `-c` script starts with "" on its path: what happens to lie in the working directory is not installed.
_SCRIPT = r"""
import json, os, re, sys
names, related, marker = json.loads(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
sys.path[:] = [p for p in sys.path if p]
found, needs = dict.fromkeys(names), {}
try:
    from importlib.metadata import PackageNotFoundError, distribution
    for name in names:
        try:
            one = distribution(name)
            head = (one.read_text("METADATA") or "").split("\n\n", 1)[0]
            told = re.search("(?m)^Version: *([^ \r\n]+)", head)
            found[name] = told.group(1) if told else one.version
            if name in related:
                needs[name] = re.findall("(?m)^Requires-Dist: *(.*)$", head)
        except PackageNotFoundError:
            pass
        except Exception:
            found[name] = "unknown"
except ImportError:
    plain = lambda text: re.sub("[-_.]+", "-", text).lower()
    wanted = dict((plain(n), n) for n in names)
    for place in reversed([p for p in sys.path if os.path.isdir(p)]):
        for entry in os.listdir(place):
            match = re.match(r"(.+?)-([0-9][^-]*)(-py[0-9.]+)?[.](dist|egg)-info$", entry)
            if match and plain(match.group(1)) in wanted:
                found[wanted[plain(match.group(1))]] = match.group(2)
places = [p for p in sys.path if os.path.basename(p) in ("site-packages", "dist-packages") and os.path.isdir(p)]
try:
    from importlib.util import find_spec
    for name in ("torch", "transformers", "peft"):
        try:
            spec = find_spec(name)
        except Exception:
            continue
        if spec is not None and spec.origin:
            place = os.path.dirname(os.path.dirname(spec.origin))
            if place not in places:
                places.insert(0, place)
except ImportError:
    pass
print("\n" + marker + json.dumps({
    "version": ".".join(map(str, sys.version_info[:3])), "prefix": sys.prefix, "executable": sys.executable,
    "packages": found, "needs": needs, "places": places}))
"""


@frozen
class InterpreterFacts:
    """A Python interpreter and the packages a session would find in it.

    Where `problem` is set, `detail` says more and nothing else is known. `packages` has every name of `PACKAGES`;
    None is "not installed". `needs` holds what those of `RELATED` ask for, as their metadata says it.
    `torch_local_build` is the local part of torch's version (`cpu`, `cu128`,
    `872d972e41.nv24.08`) or, where it has none, what its version file says (`cu124`, `rocm6.2`, `cpu`).
    """

    executable: str
    problem: Problem | None = None
    detail: str = ""
    version: str | None = None
    prefix: str | None = None
    packages: Mapping[str, str | None] = field(default_factory=dict)
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    site_packages: tuple[Path, ...] = ()
    torch_local_build: str | None = None
    torch_accelerator: TorchAccelerator | None = None

    def version_of(self, name: str) -> str | None:
        """Return the version of a package that was asked for, however its name is written; None: not installed."""
        wanted = plain_name(name)
        return next((v for n, v in self.packages.items() if plain_name(n) == wanted and v is not None), None)


class Inspection:
    """An inspection under way; the child runs while the caller does other things."""

    def __init__(
        self,
        executable: str,
        child: Child | None,
        facts: InterpreterFacts | None = None,
        names: Sequence[str] = PACKAGES,
    ) -> None:
        self._executable = executable
        self._names = names
        self._child = child
        self._facts = facts

    def result(self) -> InterpreterFacts:
        """Return the facts, waiting for the child until its deadline at most. May be called again."""
        if self._facts is None:
            if self._child is None:
                self._facts = _read_own(self._names)
            else:
                self._facts = _judge(self._executable, self._child.finish())
        return self._facts

    def cancel(self) -> None:
        """End the child of an inspection nobody waits for."""
        if self._child is not None:
            self._child.kill()


def start_inspection(python: Path | None, *, timeout_s: float = 10, also: Iterable[str] = ()) -> Inspection:
    """Begin an inspection and return at once. Its deadline, in seconds, counts from here.

    `also` names packages to ask for besides those of `PACKAGES`. Raises `DoctorError` where the system has no means for
    another process.
    """
    names = tuple(dict.fromkeys((*PACKAGES, *also)))
    if python is None:
        return Inspection(sys.executable, None, names=names)
    name = os.path.abspath(python)  # not resolved: a virtual environment is recognised by where its link lies
    node = inspect_path(name)
    if node.kind != "file":
        problem: Problem = "missing" if node.kind in ("missing", "dangling") else "not-executable"
        detail = node.detail or ("a directory, not a program" if node.kind == "directory" else "")
        return Inspection(name, None, InterpreterFacts(executable=name, problem=problem, detail=detail))
    if not node.mode & 0o111:
        return Inspection(name, None, InterpreterFacts(executable=name, problem="not-executable", detail="no x bit"))
    try:
        child = Child(
            [name, "-B", "-c", _SCRIPT, json.dumps(names), json.dumps(RELATED), _MARKER],
            timeout_s=timeout_s,
            env=_environment(),
            cwd=Path("/"),
        )
    except OSError as error:
        refusal = system_refusal(error)
        if refusal is not None:
            raise DoctorError(refusal) from error
        return Inspection(name, None, _not_started(name, error))
    return Inspection(name, child)


def _environment() -> dict[str, str]:
    # What a launcher sets for its own interpreter (macOS, `python -i`) must not reach another one.
    own = {"__PYVENV_LAUNCHER__", "PYTHONEXECUTABLE", "PYTHONINSPECT", "PYTHONSTARTUP"}
    return {**{k: v for k, v in os.environ.items() if k not in own}, "PYTHONIOENCODING": "utf-8"}


def _not_started(name: str, error: OSError) -> InterpreterFacts:
    reason = os.strerror(error.errno or 0).lower()
    if isinstance(error, FileNotFoundError):  # the file itself is there
        with open(name, "rb") as file:
            script = file.read(2) == b"#!"
        what = "the program named in its first line (#!)" if script else "the loader (ld-linux) that it is built for"
        return InterpreterFacts(executable=name, problem="not-executable", detail=f"{what} is not there")
    problem: Problem = "not-executable" if isinstance(error, PermissionError) else "not-python"
    return InterpreterFacts(executable=name, problem=problem, detail=reason)


def _judge(name: str, outcome: ChildResult) -> InterpreterFacts:
    if outcome.timed_out:
        return InterpreterFacts(executable=name, problem="timeout", detail="gave no answer in time and was ended")
    for line in reversed(outcome.out.decode("utf-8", "replace").splitlines()):
        if line.startswith(_MARKER):
            try:
                return _facts(name, json.loads(line[len(_MARKER) :]))
            except (ValueError, KeyError, TypeError, AttributeError):
                break
    errors = outcome.err.decode("utf-8", "replace").strip().splitlines()
    # Python itself always ends a failure with a line such as `ModuleNotFoundError: …` or `Fatal Python error: …`.
    broken = any(re.match(r"(\w+Error\b|Fatal Python error)", line) for line in errors)
    detail = errors[-1] if errors else ""
    if broken:
        return InterpreterFacts(executable=name, problem="failed", detail=detail)
    if outcome.code is not None and outcome.code < 0:
        return InterpreterFacts(executable=name, problem="failed", detail=f"ended by signal {-outcome.code}")
    return InterpreterFacts(executable=name, problem="not-python", detail=detail)


def _read_own(names: Sequence[str] = PACKAGES) -> InterpreterFacts:
    from importlib.util import find_spec  # noqa: PLC0415 - 20 ms that most runs do not need

    needs: dict[str, tuple[str, ...]] = {}
    found = {name: _own_version(name, needs) for name in names}
    site_dirs = [p for p in sys.path if os.path.basename(p) in ("site-packages", "dist-packages") and os.path.isdir(p)]
    for name in ("torch", "transformers", "peft"):
        try:
            spec = find_spec(name)
        except (ImportError, ValueError):
            continue
        if spec is not None and spec.origin:
            site_dir = os.path.dirname(os.path.dirname(spec.origin))
            if site_dir not in site_dirs:
                site_dirs.insert(0, site_dir)
    version_text = ".".join(map(str, sys.version_info[:3]))
    answer = {"version": version_text, "prefix": sys.prefix, "packages": found, "needs": needs, "places": site_dirs}
    return _facts(sys.executable, answer)


def _own_version(name: str, needs: dict[str, tuple[str, ...]]) -> str | None:
    """Return the version of a package here; what it asks for is put into `needs` where that matters."""
    from importlib.metadata import PackageNotFoundError, distribution  # noqa: PLC0415 - likewise

    try:
        one = distribution(name)
        # Only the head is of interest, and to parse the whole as a message takes long.
        head = (one.read_text("METADATA") or "").split("\n\n", 1)[0]
        match = re.search(r"^Version: *(\S+)", head, re.MULTILINE)
        version = match[1] if match else one.version
        if name in RELATED:
            needs[name] = tuple(re.findall(r"^Requires-Dist: *(.*)$", head, re.MULTILINE))
    except PackageNotFoundError:
        return None
    except Exception:  # noqa: BLE001 - another package's broken metadata may fail in any way
        return "unknown"
    return version


def _facts(name: str, answer: dict[str, Any]) -> InterpreterFacts:
    site_dirs = tuple(Path(p) for p in answer["places"])
    packages = {str(k): None if v is None else str(v) for k, v in answer["packages"].items()}
    build, accelerator = torch_build(packages.get("torch"), site_dirs)
    return InterpreterFacts(
        executable=name,
        version=str(answer["version"]),
        prefix=str(answer["prefix"]),
        packages=packages,
        needs={str(k): tuple(map(str, v)) for k, v in answer.get("needs", {}).items() if v},
        site_packages=site_dirs,
        torch_local_build=build,
        torch_accelerator=accelerator,
    )
