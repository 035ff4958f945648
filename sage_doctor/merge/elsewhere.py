"""A plan carried out in another interpreter: the sessions' own, where sage-doctor's has no torch.

That interpreter needs nothing of sage-doctor's own packages: `merge` and what it imports are the standard library,
torch, and for some architectures transformers. The child makes the plan again and compares it with what was shown.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from sage_doctor.errors import DoctorError
from sage_doctor.merge.base import BaseSearch
from sage_doctor.merge.leftovers import Leftover, remove_leftovers
from sage_doctor.merge.plan import MergePlan, plan_merge
from sage_doctor.merge.refusal import MergeRefused, refused
from sage_doctor.merge.run import MergeOutcome, Progress, Step, apply
from sage_doctor.merge.staging import locked
from sage_doctor.system.child import Child
from sage_doctor.system.own_python import PACKAGE_ROOT
from sage_doctor.text import format_duration, printable

_DEADLINE_S: Final = 24 * 3600.0
# Only the package itself is put on the import path, not what is installed beside it for another interpreter.
_START: Final = """import importlib.util, sys
at = sys.argv[1] + "/sage_doctor"
spec = importlib.util.spec_from_file_location("sage_doctor", at + "/__init__.py", submodule_search_locations=[at])
sys.modules["sage_doctor"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from sage_doctor.merge.elsewhere import serve
serve(sys.argv[2])"""


def apply_with(
    python: Path | None,
    plan: MergePlan,
    *,
    progress: Progress | None = None,
    wait_s: float = 0.0,
    hash_cache: Path | None = None,
    allow_delete: bool = False,
    keep: Path | None = None,
) -> MergeOutcome:
    """Carry out a plan as `apply` does, in the interpreter `python`; None is this one.

    If this process is interrupted, the child is ended and what it had begun is removed.
    """
    if python is None:
        return apply(
            plan, progress=progress, wait_s=wait_s, hash_cache=hash_cache, allow_delete=allow_delete, keep=keep
        )
    request = {
        "adapter": str(plan.adapter),
        "target": str(plan.target),
        "base": [str(plan.base), plan.base_why],
        "dtype": plan.dtype,
        "dequantize": plan.dequantized is not None,
        "shown": _digest(plan),
        "wait_s": wait_s,
        "hash_cache": str(hash_cache) if hash_cache is not None else None,
        "allow_delete": allow_delete,
        "keep": str(keep) if keep is not None else None,
    }
    ended: dict[str, Any] = {}

    def on_line(line: str) -> None:
        said = _read(line)
        if "step" in said and progress is not None:
            progress(Step(**said["step"]))
        elif "step" not in said:
            ended.update(said)

    command = [str(python), "-I", "-c", _START, PACKAGE_ROOT, json.dumps(request)]
    try:
        done = Child(command, timeout_s=_DEADLINE_S, cwd=Path("/"), keep_end=True, on_line=on_line).finish()
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise DoctorError(f"{printable(str(python))} does not start: {why}; nothing was changed") from error
    except BaseException:
        with locked(plan.target, wait_s=5.0):
            remove_leftovers(plan.target)
        raise
    if "outcome" in ended:
        return _outcome(ended["outcome"])
    if "refused" in ended:
        raise MergeRefused(*ended["refused"])
    late = f"no result within {format_duration(_DEADLINE_S)}" if done.timed_out else ""
    what = ended.get("failed") or late or f"{printable(str(python))}: {done.last_error or 'it ended without a result'}"
    raise DoctorError(printable(str(what), limit=1000))


def serve(request: str) -> None:
    """Carry out the merge that `apply_with` asks for, and tell of it in lines of JSON on standard output."""
    tell = _teller()
    asked = json.loads(request)
    base, why = asked["base"]
    here = BaseSearch.here()
    try:
        plan = plan_merge(
            Path(asked["adapter"]),
            Path(asked["target"]),
            dtype=asked["dtype"],
            dequantize=asked["dequantize"],
            search=dataclasses.replace(here, named=((Path(base), why),)),
        )
        if _digest(plan) != asked["shown"]:
            raise refused("the files changed since the plan was made", "Check them, and merge again.")
        outcome = apply(
            plan,
            progress=lambda step: tell(step=dataclasses.asdict(step)),
            wait_s=asked["wait_s"],
            hash_cache=Path(asked["hash_cache"]) if asked["hash_cache"] else None,
            allow_delete=asked["allow_delete"],
            keep=Path(asked["keep"]) if asked["keep"] else None,
        )
    except MergeRefused as refusal:
        tell(refused=[refusal.code, refusal.message, refusal.next_step])
    except DoctorError as error:
        tell(failed=str(error))
    else:
        values = dataclasses.asdict(outcome)
        cleaned = [{"path": str(left.path), "what": left.what} for left in outcome.cleaned]
        tell(outcome={**values, "target": str(outcome.target), "cleaned": cleaned})


def _teller() -> Callable[..., None]:
    """Return what writes one line of JSON to standard output as it is now: libraries print there as well."""
    stream = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)

    def tell(**said: object) -> None:
        stream.write(json.dumps(said) + "\n")
        stream.flush()

    return tell


def _read(line: str) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _outcome(said: Mapping[str, Any]) -> MergeOutcome:
    cleaned = tuple(Leftover(path=Path(left["path"]), what=left["what"]) for left in said["cleaned"])
    warnings = tuple((code, sentence) for code, sentence in said["warnings"])
    return MergeOutcome(**{**said, "target": Path(said["target"]), "warnings": warnings, "cleaned": cleaned})


def _digest(plan: MergePlan) -> str:
    """Return a hash of the files that a plan reads and of what it replaces."""
    inputs = sorted((str(path), info.size, info.mtime_ns, info.inode) for path, info in plan.inputs.items())
    present = sorted((name, repr(entry)) for name, entry in plan.present.lost().items())
    said = json.dumps([inputs, present, sorted(plan.written), plan.nbytes])
    return hashlib.sha256(said.encode()).hexdigest()
