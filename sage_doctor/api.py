"""Where a model is on this machine, for the scripts that load it: `from sage_doctor import resolve`.

The manifest says where; a path in a script is right only on the machine it was written for. Importing this module is
cheap, and calling it imports neither pytest nor torch.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sage_doctor.manifest.specs import Manifest
    from sage_doctor.subjects.model import Model

_CHECK_TIMEOUT_S = 60.0


class AdapterPlaces(NamedTuple):
    """The directories that loading an adapter takes."""

    adapter: Path
    base: Path


def resolve(name: str, *, manifest: str | os.PathLike[str] | None = None) -> Path:
    """Return the directory of a complete model on this machine.

    `name` is a model of the manifest. That is the given one, else the nearest `sage-doctor.toml` from the caller's file
    upwards, else from the working directory upwards, else the one that `SAGE_DOCTOR_MANIFEST` or the user's
    configuration names. Where the model is not complete, those it names under `or` are tried in order, and a warning
    is logged. Raises `ModelNotFound`, whose text is the doctor's finding, `UsageError` for a name that the manifest
    does not have, and `ManifestError`.
    """
    return _complete(name, _manifest(manifest, _caller())).path


def resolve_adapter(name: str, *, manifest: str | os.PathLike[str] | None = None) -> AdapterPlaces:
    """Return the directories of a complete adapter and of its base: the manifest's word for it before the adapter's.

    Load `base` with transformers, then `adapter` onto it with PEFT: then nothing depends on adapter_config.json.
    Looks and raises as `resolve` does, and `UsageError` for a model that is no adapter.
    """
    from sage_doctor.errors import UsageError  # noqa: PLC0415 - all imports here wait until somebody asks
    from sage_doctor.text import printable  # noqa: PLC0415

    model = _complete(name, _manifest(manifest, _caller()))
    base = model.base.model if model.kind == "adapter" else None
    if base is None:
        raise UsageError(f"{printable(model.name)} is of kind '{model.kind}', not an adapter: use resolve()")
    return AdapterPlaces(model.path, base.path)


def _caller() -> Path | None:
    """Return the directory of the file that called the public function, None where it is in no file."""
    frame = sys._getframe(2)  # noqa: SLF001 - the manifest is looked for from there
    name = frame.f_globals.get("__file__")
    return Path(os.path.abspath(name)).parent if isinstance(name, str) else None


def _manifest(given: str | os.PathLike[str] | None, caller: Path | None) -> Manifest:
    from sage_doctor.errors import UsageError  # noqa: PLC0415
    from sage_doctor.manifest.load import find_manifest, load_for_host, nearest_manifest  # noqa: PLC0415

    path = Path(given) if given is not None else None
    if path is None and caller is not None:
        path = nearest_manifest(caller)
    if path is None:
        path = find_manifest(Path(os.getcwd()), os.environ)
    if path is None:
        raise UsageError(
            "no sage-doctor.toml beside this script, in the working directory, or above either; "
            "`sage-doctor init` writes one"
        )
    return load_for_host(path)


def _complete(name: str, manifest: Manifest) -> Model:
    from sage_doctor.errors import ModelNotFound  # noqa: PLC0415
    from sage_doctor.subjects.completeness import why_not_loadable  # noqa: PLC0415
    from sage_doctor.subjects.declared import models_of  # noqa: PLC0415
    from sage_doctor.text import printable  # noqa: PLC0415

    manifest.model(name)  # says which names there are
    models = models_of(manifest)
    tried: list[str] = []
    for candidate in (name, *manifest.models[name].fallback):
        model = models.get(candidate)
        if model is None:
            tried.append(f"{candidate}: not on this machine")
            continue
        missing = why_not_loadable(model)
        if not missing:
            if tried:
                import logging  # noqa: PLC0415 - half of what this module would cost

                logging.getLogger("sage_doctor").warning(
                    "%s is used instead of %s (%s), because the manifest allows it",
                    printable(candidate), printable(name), printable("; ".join(tried), limit=400),
                )  # fmt: skip
            return model
        tried.append(f"{candidate}: {missing}")
    raise ModelNotFound(
        _finding(name, manifest) or f"{printable(name)} cannot be used: {printable('; '.join(tried), limit=600)}"
    )


def _finding(name: str, manifest: Manifest) -> str | None:
    """Return what the doctor says of a model, None where it cannot be asked.

    It runs in a process of its own: the caller's may be a test run, and the checks are run by pytest.
    """
    import json  # noqa: PLC0415 - only a failure needs these

    from sage_doctor.system.child import run  # noqa: PLC0415
    from sage_doctor.system.own_python import own_python  # noqa: PLC0415
    from sage_doctor.text import printable  # noqa: PLC0415

    options = ("--level", "static", "--format", "json", "--manifest", str(manifest.path))
    command = own_python("from sage_doctor.cli import main; main()", "check", name, *options)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SAGE_DOCTOR_")}
    done = run(command, timeout_s=_CHECK_TIMEOUT_S, env=environment)
    try:
        findings = json.loads(done.out if done is not None else b"")["findings"]
    except (ValueError, KeyError):
        return None
    errors = [f for f in findings if f["severity"] == "error"]
    lines = []
    for found in errors:
        lines.append(f"{printable(found['subject'])}: {found['code']}: {printable(found['message'], limit=600)}")
        lines.append(f"  {printable(found['fix']['summary'], limit=600)}")
        lines += [f"  $ {printable(command, limit=600)}" for command in found["fix"]["commands"]]
    return "\n".join(lines) or None
