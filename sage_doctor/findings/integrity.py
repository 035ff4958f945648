"""Whether the weights are the ones they should be, number for number."""

from __future__ import annotations

from sage_doctor.findings.declaration import Declaration, declare

TITLE = "Integrity"
DECLARATIONS = declare(
    Declaration(
        code="weights-hash-mismatch",
        severity="error",
        title="A file differs from its recorded hash",
        cause="The content differs from what the hub cache, the download record or Git LFS promises: a damaged copy, a "
        "failing disk, or a changed file.",
        remediation="Fetch the file again. If it happens twice, check the disk and the memory.",
        shows=(
            *(r"Consistency check failed: file should be of size", r"digest mismatch, file must be downloaded again"),
            *(r"expected OID [0-9a-f]{64}, got", r"checksum does not match", r"checksum mismatch", r"sha256 mismatch"),
            r"hash mismatch:",
        ),
    ),
    Declaration(
        code="weights-nonfinite",
        severity="error",
        title="The weights contain NaN or infinite values",
        cause="Training, conversion or merging produced them, often by overflow in 16 bits. Sampling fails on them; "
        "greedy generation 'succeeds' and repeats one token.",
        remediation="Fetch or build the model again. If the source has the same values, the source is broken.",
        may_show=(r"probability tensor contains either `inf`, `nan` or element < 0",),
    ),
    Declaration(
        code="weights-all-zero",
        severity="error",
        title="Tensors contain only zeros",
        cause="A download reserved its space first and was interrupted: the header is intact, the rest is zeros. The "
        "model loads without an error and answers nonsense.",
        remediation="Fetch the file again.",
    ),
    Declaration(
        code="weights-reader-disagrees",
        severity="error",
        title="The safetensors library refuses the file",
        cause="The doctor's own reader accepts the header; the library that a session uses refuses the file or finds "
        "other tensors in it. Usually a newer release wrote a dtype that the installed one does not know.",
        remediation="Upgrade safetensors in the sessions' environment. If the newest release refuses the file as well, "
        "save it again, and report it: then the doctor's own reader is too lenient.",
    ),
    Declaration(
        code="weights-unverified",
        severity="info",
        title="The weights cannot be verified",
        cause="There is no hash to compare with: no hub cache, no Git LFS pointer, no lock. The files are consistent, "
        "but it is not known whether they are the right ones.",
        remediation="Once the model is known to work, record it with `sage-doctor lock`.",
    ),
    Declaration(
        code="weights-drift",
        severity="error",
        title="The weights differ from the lock",
        cause="Somebody replaced the model after `sage-doctor lock`, or it was damaged.",
        remediation="If the change is intended, run `sage-doctor lock` again and commit the result. If not, restore "
        "the model.",
    ),
    Declaration(
        code="base-drift",
        severity="error",
        title="The adapter's base differs from the lock",
        cause="The adapter is unchanged, but its base has other weights than when `sage-doctor lock` recorded it. "
        "Everything loads, and sessions talk to another model.",
        remediation="Restore the base, or name the right one as `base` in the manifest. If the new base is intended, "
        "run `sage-doctor lock` again and commit the result.",
    ),
    Declaration(
        code="config-drift",
        severity="warning",
        title="Files beside the weights differ from the lock",
        cause="The weights are the locked ones, but a configuration, a tokenizer file, a chat template or the recorded "
        "origin changed. A changed chat template changes every answer.",
        remediation="Compare the file with a machine where it is right. If the change is intended, run `sage-doctor "
        "lock` again and commit the result.",
    ),
)
