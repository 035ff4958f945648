"""Merges that would be carried out without fault and mean nothing: of an adapter without effect, or a second time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sage_doctor.facts.adapter_effect import LATER_CHECKPOINT, has_no_effect, is_scaled_to_nothing
from sage_doctor.facts.hashing import hash_file
from sage_doctor.merge.adapter import ModuleParts
from sage_doctor.merge.refusal import MergeRefused, refused
from sage_doctor.system.path_info import UnreadableFile
from sage_doctor.text import printable, shell_quote


def require_effect(weights: Path, modules: Mapping[str, ModuleParts], values: Mapping[str, Any]) -> None:
    """Raise `MergeRefused` if every change of the adapter is a product with a matrix of zeros, or scaled to zero."""
    tensors = {p.tensor.name: p.tensor for m in modules.values() for p in m.parts.values()}
    if is_scaled_to_nothing(tensors, values):
        raise MergeRefused(
            "adapter-no-effect",
            "the adapter changes nothing: lora_alpha is 0, so the merged model would be its base",
            "Write the lora_alpha of its training run into adapter_config.json.",
        )
    try:
        idle = has_no_effect(weights, tensors)
    except UnreadableFile as error:
        raise _unreadable(error) from error
    if idle:
        raise MergeRefused(
            "adapter-no-effect",
            "the adapter changes nothing: one matrix of each of its pairs is all zeros, so the merged model would be "
            "its base",
            LATER_CHECKPOINT,
        )


def require_not_merged(before: Sequence[Mapping[str, object]], weights: Path, base: Path) -> None:
    """Raise `MergeRefused` if the adapter in the file `weights` is one of those that the base holds by its record."""
    if not before:
        return
    try:
        digest = hash_file(weights)
    except UnreadableFile as error:
        raise _unreadable(error) from error
    if any(entry.get("sha256") == digest for entry in before):
        raise refused(
            f"this adapter is in {printable(str(base))} already, as its sage-doctor-merge.json says: merging it again "
            "would apply it twice",
            f"Use that model as it is (`sage-doctor check {shell_quote(base)}`), or name the base that the adapter was "
            "trained on with --base.",
        )


def _unreadable(error: UnreadableFile) -> MergeRefused:
    return refused(f"the adapter cannot be read: {error}", "Restore the adapter's weights.")
