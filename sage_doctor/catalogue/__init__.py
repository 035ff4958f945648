"""Every finding code: severity, title, cause, cure. One file a family."""

from __future__ import annotations

import difflib
from functools import cache

from sage_doctor.catalogue.entry import Entry
from sage_doctor.report import Severity

__all__ = ["Entry", "entries", "entry", "find"]

_E: dict[Severity, str] = {"error": """
path-missing path-foreign-home path-not-directory path-dangling-symlink path-unreadable
config-missing config-invalid config-type-unknown
weights-missing weights-lfs-pointer weights-not-safetensors weights-empty weights-truncated weights-oversized
weights-header-invalid shard-missing shard-index-missing shard-index-invalid shard-index-mismatch shard-path-escape
weights-shape-mismatch weights-keys-missing weights-unreadable
tokenizer-missing tokenizer-invalid tokenizer-vocab-overflow
adapter-config-missing adapter-config-invalid adapter-weights-missing adapter-weights-empty adapter-base-unset
adapter-base-missing adapter-base-broken adapter-base-ambiguous adapter-shape-mismatch adapter-rank-mismatch
adapter-targets-missing adapter-keys-unmatched
hub-not-cached hub-ref-missing hub-ref-invalid hub-snapshot-incomplete hub-blob-missing
weights-hash-mismatch weights-nonfinite weights-all-zero weights-drift
interpreter-missing package-missing package-version torch-cpu-build accelerator-missing accelerator-fallback
memory-insufficient disk-insufficient driver-mismatch
load-failed load-crashed load-out-of-memory load-timeout load-over-budget load-keys-mismatched params-not-materialised
params-on-wrong-device probe-protocol generate-failed generate-timeout generate-nonfinite generate-degenerate
adapter-no-effect latency-over-budget throughput-under-budget memory-over-budget
merge-unmatched-tensors merge-delta-vanishes merge-refused merge-nonfinite
runner-missing runner-hardcoded-path script-crlf script-not-executable unit-path-missing
state-invalid state-regressed service-down service-model-missing service-hung
""", "warning": """
custom-code weights-ambiguous weights-pickle-only weights-private-mode weights-keys-unexpected chat-template-missing
adapter-tied-embeddings adapter-init-mutates-base adapter-config-newer adapter-weights-pickle hub-incomplete-download
machine-unmatched package-unknown gpu-memory-held merge-interrupted heartbeat-stale
""", "info": """
adapter-unmergeable weights-unverified model-not-generative runner-unverified
"""}


@cache
def entries() -> tuple[Entry, ...]:
    """Return every entry in catalogue order."""
    return tuple(
        Entry(code=code, severity=severity, title=code.replace("-", " "), cause="", cure="")
        for severity, codes in _E.items()
        for code in codes.split()
    )


@cache
def _by_code() -> dict[str, Entry]:
    return {e.code: e for e in entries()}


def find(code: str) -> Entry | None:
    """Return the entry of a finding code, or None where the catalogue has no such code."""
    return _by_code().get(code)


def entry(code: str) -> Entry:
    """Return the entry of a finding code. Raises `ValueError` with a suggestion where there is no such code."""
    known = find(code)
    if known is None:
        near = difflib.get_close_matches(code, _by_code(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"no finding code {code!r} in the catalogue{hint}")
    return known
