"""Every architecture, saved by transformers and examined by the doctor: `python -m tests.architectures.sweep`.

Prints each finding above info on a healthy directory, and how many architectures had none. Names restrict it to those
model types. torch is imported once: each load runs in a fork, with the very stages of a probe.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import sage_doctor.probe.handle
from sage_doctor.subjects.selection import Request
from sage_doctor.suite.examine import examine
from tests.probe.forked import forked

LEVELS = ("static", "integrity", "load")


def alarms(folder: Path, level: str) -> list[str]:
    """Return what the doctor says above info of a directory, and what it could not find out."""
    report = examine(Request(targets=(str(folder),), level=level, cwd=str(folder.parent)))  # type: ignore[arg-type]
    said = [f"{f.severity} {f.code}: {f.message}" for f in report.findings if f.severity != "info"]
    said += [f"inconclusive {c.id}: {c.reason}" for c in report.checks if c.status == "error"]
    return [s for s in said if "machine" not in s]


def main() -> int:
    """Build, save and examine; returns 1 where anything was said of a healthy directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="model types (default: all)")
    parser.add_argument("--levels", default="load", help="comma-separated: static, integrity, load")
    parser.add_argument("--json", help="write what was said of each here, and leave out what is there already")
    given = parser.parse_args()
    os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
    import torch
    import transformers

    from tests.architectures import tiny

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    sage_doctor.probe.handle.run_probe = forked
    earlier = json.loads(Path(given.json).read_text()) if given.json and Path(given.json).exists() else {}
    said: dict[str, list[str]] = earlier.get("said", {})
    unbuilt = earlier.get("unbuilt", [])
    with tempfile.TemporaryDirectory() as place:
        os.environ.update(HOME=place, XDG_STATE_HOME=f"{place}/state", HF_HOME=f"{place}/hf")
        for model_type, name in tiny.classes():
            if given.names and model_type not in given.names:
                continue
            folder = Path(place) / f"{model_type}-{name}"
            if folder.name in said or folder.name in unbuilt:
                continue
            with contextlib.redirect_stderr(open(os.devnull, "w")):
                model = tiny.build(model_type, name)
                try:
                    if model is not None:
                        tiny.save(model, folder)
                        model = model if tiny.loads(model, folder) else None
                except Exception:  # noqa: BLE001 - the library can build it, and neither save nor load it
                    model = None
            if model is None:
                unbuilt.append(folder.name)
                continue
            del model
            said[folder.name] = [s for level in given.levels.split(",") for s in alarms(folder, level)]
            for line in said[folder.name]:
                print(f"{folder.name}: {line}"[:400], flush=True)
            shutil.rmtree(folder)
            if given.json:
                Path(given.json).write_text(json.dumps({"said": said, "unbuilt": unbuilt}, indent=1))
    quiet = sum(not s for s in said.values())
    rest = f"{len(unbuilt)} could not be built, or not loaded by transformers itself"
    print(f"{quiet} of {len(said)} healthy architectures without an alarm; {rest}")
    return int(quiet < len(said))


if __name__ == "__main__":
    sys.exit(main())
