"""The refusal of a merge: a finding code, the reason, and what to do next."""

from __future__ import annotations

from sage_doctor.errors import DoctorError


class MergeRefused(DoctorError):
    """A merge that would not be faithful, or could not be carried through. The target is as it was before.

    `code` is a finding code, `message` the reason, `next_step` what to do.
    """

    exit_code = 1

    def __init__(self, code: str, message: str, next_step: str) -> None:
        self.code = code
        self.message = message
        self.next_step = next_step
        super().__init__(f"{message}\n{next_step} [{code}]")


def refused(message: str, next_step: str = "Run sessions on base and adapter together instead.") -> MergeRefused:
    """Return the refusal of a merge that cannot be done faithfully."""
    return MergeRefused("merge-refused", message, next_step)


def unmatched(message: str, next_step: str = "") -> MergeRefused:
    """Return the refusal of an adapter whose tensors do not match the base."""
    advice = next_step or "Name the base that this adapter was trained on with --base; matching shapes do not prove it."
    return MergeRefused("merge-unmatched-tensors", message, advice)
