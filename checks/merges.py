"""Merged models: what their own record says is lost in them."""

from __future__ import annotations

from collections.abc import Iterator

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.findings.restore import merge_commands
from sage_doctor.readers.merge_record import RECORD, merge_hashes, merge_losses
from sage_doctor.subjects.model import Model

ORDER = 115  # of the check files: causes before consequences

FULL = ("full", "merged")
WHOLE = ("check_path", "check_hub", "check_hub_blobs", "check_weights_present", "check_shards_present")
_SLACK_NS = 60 * 10**9  # the record is written last, and a copy of the directory keeps no order


@check("static", after=WHOLE, kinds=FULL)
def check_merge_losses(model: Model) -> Iterator[Finding]:
    """The whole adapter is in the weights, as far as the record of their merge says."""
    if not model.tree.is_file(RECORD):
        raise NotApplicable(f"there is no {RECORD}")
    if not _is_of_these_weights(model):
        raise NotApplicable(f"{RECORD} is about other weights")
    losses = merge_losses(model.path)
    for code, sentence in losses.sentences():
        yield finding(
            code,
            sentence,
            evidence={
                "file": RECORD,
                "cosine": losses.cosine,
                "dtype": losses.dtype,
                "modules": [*losses.uncovered, *losses.idle][:50],
            },
            fix=_fix(model, code),
        )


def _is_of_these_weights(model: Model) -> bool:
    """Whether the weights are those that the record names, and were not written long after it."""
    files = {f.name: f.node for f in model.weights.files}
    written = model.tree.info(RECORD).mtime_ns
    return files.keys() == merge_hashes(model.path).keys() and all(
        node.mtime_ns <= written + _SLACK_NS for node in files.values()
    )


def _fix(model: Model, code: str) -> Fix:
    commands = merge_commands(model)
    if code == "merge-delta-vanishes":
        return Fix(
            summary="Run sessions on base and adapter together, or merge again with --dtype float32.",
            commands=tuple(command + " --dtype float32" for command in commands),
        )
    return Fix(summary="Copy the complete adapter from its training run, and merge again.", commands=commands)
