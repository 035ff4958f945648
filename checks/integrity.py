"""Contents of the weight files: hashes against what somebody recorded, and numbers that no model has."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.check import Finding, Fix, Notes, check, finding
from sage_doctor.errors import DoctorError, NotApplicable
from sage_doctor.findings.restore import bring_back
from sage_doctor.findings.volumes import read_failed
from sage_doctor.readers.safetensors_header import Header
from sage_doctor.report import NOTHING_TO_DO
from sage_doctor.subjects.model import Model
from sage_doctor.system.activity import Meter
from sage_doctor.system.path_info import UnreadableFile, inspect_path
from sage_doctor.text import join_limited, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.readers.tensor_scan import TensorScan

ORDER = 140  # of the check files: causes before consequences


def _weight_files(model: Model) -> list[tuple[str, Header | None]]:
    if model.kind == "adapter":
        weights = model.adapter_weights
        return [(weights.name, weights.header)] if weights.name is not None else []
    return [(f.name, f.header) for f in model.weights.files]


def _locked(model: Model) -> Collection[str]:
    """Return the files whose hashes the lock has; a broken lock is told by its own check."""
    from sage_doctor.lock.comparison import entry_of

    with contextlib.suppress(DoctorError):
        entry = entry_of(model)
        return entry.files if entry is not None else ()
    return ()


@check("integrity", after=["*"])
def check_hashes(model: Model, notes: Notes) -> Iterator[Finding]:
    """The weight files are those that were published, as far as a hash of them is recorded here."""
    from sage_doctor.facts.expected_hashes import expected_hashes
    from sage_doctor.facts.hashing import hash_files

    names = [name for name, _ in _weight_files(model)]
    known = expected_hashes(model.path, names)
    if len(known) < len(names):
        locked = _locked(model)
        names = [n for n in names if n in known or n not in locked]  # the lock's own check compares those
    if not known and names:
        yield finding(
            "weights-unverified",
            "no hash of these weights is recorded on this machine",
            evidence={"files": names[:50]},
            fix=Fix(
                summary=f"{NOTHING_TO_DO}. Weights that come from the Hugging Face cache or Git LFS can be verified."
            ),
        )
        return
    cache = model.host.hash_cache
    meter = Meter(notes.progress, "hashing", sum(inspect_path(model.path / n).size for n in known))
    hashes = hash_files([(model.path / n, k.algorithm) for n, k in known.items()], cache=cache, progress=meter)
    wrong = []
    for name, expected in known.items():
        actual = hashes[(Path(model.path / name), expected.algorithm)]
        failure = read_failed(model.host, model.path / name, actual) if isinstance(actual, UnreadableFile) else None
        if failure is not None:
            yield failure
            return
        if isinstance(actual, UnreadableFile) or actual != expected.hex:
            wrong.append((name, expected, actual))
    if wrong:
        name, expected, actual = wrong[0]
        what = (
            f"could not be read ({actual})"
            if isinstance(actual, UnreadableFile)
            else (f"has {expected.algorithm} {actual[:12]}…, expected {expected.hex[:12]}…")
        )
        changed = " It was changed after it was recorded." if expected.modified_since else ""
        yield finding(
            "weights-hash-mismatch",
            f"{printable(name)} {what} ({printable(expected.source)}).{changed}",
            evidence={
                "files": [n for n, _, _ in wrong][:50],
                "algorithm": expected.algorithm,
                "expected": expected.hex,
                "actual": None if isinstance(actual, UnreadableFile) else actual,
                "source": expected.source,
            },
            fix=bring_back(model, [n for n, _, _ in wrong]),
        )
    missing = [n for n in names if n not in known]
    if missing:
        yield finding(
            "weights-unverified",
            f"no hash of {join_limited(missing)} is recorded here",
            evidence={"files": missing[:50]},
            fix=Fix(summary=f"{NOTHING_TO_DO}."),
        )


@check("integrity", after=["*"])
def check_library(model: Model) -> Iterator[Finding]:
    """The safetensors library of the sessions opens the weight files, and finds the tensors that the doctor finds.

    A file that only the doctor refuses never comes here: it has a finding already, which blocks this check.
    """
    from sage_doctor.facts.library_verdicts import read_with_library
    from sage_doctor.readers.safetensors_library import digest_of_names

    files = [(n, h) for n, h in _weight_files(model) if h is not None]
    if not files:
        raise NotApplicable("there are no safetensors to read")
    host = model.host
    reading = read_with_library([model.path / n for n, _ in files], host.python, host.environ)
    refused = {}
    for (name, header), verdict in zip(files, reading.verdicts, strict=False):  # after a crash there are fewer
        if verdict.refused:
            refused[name] = verdict.refused
        elif verdict.names != digest_of_names(header.tensors):
            refused[name] = "it finds other tensors in the file than its header names"
    if refused:
        name, why = next(iter(refused.items()))
        more = f" (and {len(refused) - 1} more files)" if len(refused) > 1 else ""
        yield finding(
            "weights-reader-disagrees",
            f"safetensors {printable(reading.version, limit=40)} cannot read {printable(name)}: "
            f"{printable(why, limit=300)}{more}",
            evidence={
                "files": dict(list(refused.items())[:50]),
                "safetensors": reading.version,
                "python": reading.python,
            },
            fix=Fix(
                summary="Upgrade safetensors in the sessions' environment, or save the file again.",
                commands=(f"{shell_quote(reading.python)} -m pip install --upgrade safetensors",),
            ),
        )


@check("integrity", after=["*"])
def check_numbers(model: Model, notes: Notes) -> Iterator[Finding]:
    """The weights are finite numbers, and no file ends in zeros: a download that reserved its space and was cut."""
    from sage_doctor.readers.tensor_scan import scan

    nonfinite: list[tuple[str, TensorScan]] = []
    blank: list[tuple[str, TensorScan]] = []
    cut: list[tuple[str, TensorScan]] = []
    files = [(n, h) for n, h in _weight_files(model) if h is not None]
    if not files:
        raise NotApplicable("there are no safetensors to read")
    meter = Meter(
        notes.progress, "reading the numbers", sum(t.end - t.start for _, h in files for t in h.tensors.values())
    )
    for name, header in files:
        places = {t.name: (t.dtype, t.shape, t.start, t.end) for t in header.tensors.values()}
        try:
            results = [r for r in scan(model.path / name, places, meter) if r.elements]  # in the order of the file
        except UnreadableFile as error:
            failure = read_failed(model.host, model.path / name, error)
            if failure is None:
                raise
            yield failure
            return
        nonfinite += [(name, r) for r in results if r.nonfinite and not _is_open_bound(r)]
        blank += [(name, r) for r in _cut_tail(results)]
        last = next((r for r in reversed(results) if not r.all_zero), None)
        cut += [(name, last)] if last is not None and _ends_within(model, name, last) else []
    if nonfinite:
        name, worst = max(nonfinite, key=lambda item: item[1].nonfinite)
        yield finding(
            "weights-nonfinite",
            f"{len(nonfinite)} tensor(s) contain NaN or infinite values; the worst is {printable(worst.name)} in "
            f"{printable(name)}: {worst.nan:,} NaN and {worst.inf:,} infinite of {worst.elements:,} values",
            evidence={"tensors": {r.name: {"nan": r.nan, "inf": r.inf} for _, r in nonfinite[:50]}},
            fix=bring_back(model, sorted({n for n, _ in nonfinite})),
        )
    suspicious = [(n, r) for n, r in reversed(blank) if _must_not_be_zero(model, r)]
    if model.kind == "adapter" and model.adapter_config.peft_type != "LORA":
        lost = _lost_modules(model, {r.name for _, r in blank})
        suspicious = [(n, r) for n, r in suspicious if r.name.rpartition(".")[0] in lost]
        suspicious = blank if len(blank) == len(model.tensors) else suspicious  # zeros alone are no training of any
    if cut and not suspicious:
        name, within = cut[0]
        yield finding(
            "weights-all-zero",
            f"{printable(name)} ends in zeros that begin within a row of {printable(within.name)}, its last matrix: "
            "there the download stopped",
            evidence={"tensors": [r.name for _, r in cut][:50], "files": sorted({n for n, _ in cut})},
            fix=bring_back(model, sorted({n for n, _ in cut})),
        )
    if suspicious:
        names = [r.name for _, r in suspicious]
        yield finding(
            "weights-all-zero",
            (
                "all its tensors are zeros"
                if len(names) == len(model.tensors)
                else f"the file ends in zeros: {len(names)} weight matrices contain nothing else"
            )
            + f" ({join_limited([printable(n) for n in names], most=2)})",
            evidence={"tensors": names[:50], "files": sorted({n for n, _ in suspicious})},
            fix=bring_back(model, sorted({n for n, _ in suspicious})),
        )


@check("integrity", after=["*"], kinds=["adapter"])
def check_adapter_trained(model: Model) -> Iterator[Finding]:
    """The adapter's numbers change something."""
    from sage_doctor.facts.adapter_effect import LATER_CHECKPOINT, has_no_effect

    weights = model.adapter_weights
    if weights.header is None:
        raise NotApplicable("there are no safetensors to read")
    if has_no_effect(model.path / str(weights.name), weights.header.tensors):
        yield finding(
            "adapter-no-effect",
            "one matrix of each of its pairs is all zeros, as before training: a session would talk to the base alone",
            evidence={"file": weights.name, "tensors": len(weights.header.tensors)},
            fix=Fix(summary=LATER_CHECKPOINT),
        )


def _is_open_bound(result: TensorScan) -> bool:
    """Return whether a tensor is one bound that clamps nothing: infinity is its value before calibration (gemma4)."""
    return result.elements == result.inf == 1 and result.name.endswith(("_min", "_max"))


def _cut_tail(results: list[TensorScan]) -> list[TensorScan]:
    """Return the tensors of zeros at the end of a file, last first, where a cut download left them.

    A download stops at a multiple of its blocks, in the midst of a tensor: where the zeros begin with a tensor, that
    one was zero when it was saved (positions and registers are, before training).
    """
    tail = list(itertools.takewhile(lambda r: r.all_zero, reversed(results)))
    before = results[-len(tail) - 1] if len(tail) < len(results) else None
    return tail if before is None or before.ends_in_zero or not before.known else []


def _ends_within(model: Model, name: str, last: TensorScan) -> bool:
    """Return whether the zeros at a file's end begin within a row of the last tensor with others, and fill a row.

    Rows may be zero from their beginning (a vocabulary that was padded), and so may the ends of all rows.
    """
    from sage_doctor.readers.tensor_scan import trailing_zeros

    tensor = model.tensors.get(last.name)
    if tensor is None or not last.ends_in_zero or last.all_zero or not _must_not_be_zero(model, last):
        return False
    row = (tensor.end - tensor.start) // max(1, tensor.shape[0])
    zeros = trailing_zeros(model.path / name, tensor.start, tensor.end)
    size = row // max(1, last.elements // max(1, tensor.shape[0]))
    return zeros > row and zeros % row >= size


def _lost_modules(model: Model, zero: Collection[str]) -> list[str]:
    """Return the modules of which an adapter has several tensors, all of them zero.

    One of each is zero before training, whatever its type calls it.
    """
    of_module: dict[str, list[str]] = {}
    for name in model.tensors:
        of_module.setdefault(name.rpartition(".")[0], []).append(name)
    return [m for m, names in of_module.items() if len(names) > 1 and all(n in zero for n in names)]


def _must_not_be_zero(model: Model, result: TensorScan) -> bool:
    """Whether a tensor of zeros is an error: biases and fresh LoRA B matrices may be zero, a weight matrix may not.

    Biases are not always called that alone, nor always vectors (`recurrent_gate_bias` has a row for each head).
    """
    tensor = model.tensors.get(result.name)
    if tensor is None or len(tensor.shape) < 2 or re.search(r"bias(?:es)?\d*$", result.name):
        return False
    fresh_lora = ".lora_B" in result.name or ".lora_embedding_A" in result.name
    return not fresh_lora and tensor.dtype.startswith(("F", "BF"))
