"""Whether the weights are the ones they should be, number for number."""

from __future__ import annotations

from sage_doctor.findings.entry import Entry

ENTRIES = (
    Entry(
        code="weights-hash-mismatch",
        severity="error",
        title="The file differs from its recorded hash",
        cause="The contents are not those that the cache, the download record or Git LFS promises, though the size "
        "may be right: a damaged copy, a failing disk, or a changed file.",
        cure="Fetch the file again. If it happens twice, check the disk and the memory.",
        shows=(r"Consistency check failed", r"(checksum|hash|sha256)\W.{0,40}?mismatch"),
    ),
    Entry(
        code="weights-nonfinite",
        severity="error",
        title="The weights contain NaN or infinite values",
        cause="Numbers were lost in training, conversion or merging, often by overflow in 16 bits. Sampling fails on "
        "them, while greedy generation 'succeeds' and repeats one token.",
        cure="Fetch or build the model again. If the source has the same values, it is the source that is broken.",
        shows=(r"probability tensor contains either `inf`, `nan` or element < 0",),
    ),
    Entry(
        code="weights-all-zero",
        severity="error",
        title="Tensors consist of zeros only",
        cause="A download reserved its space first and was interrupted: the header is intact, the rest is zeros. The "
        "model loads without complaint and answers nonsense.",
        cure="Fetch the file again.",
    ),
    Entry(
        code="weights-reader-disagrees",
        severity="error",
        title="The safetensors library refuses the file",
        cause="The header has no fault that the doctor knows, and the library that a session opens it with refuses it "
        "or finds other tensors in it. The file was usually written by a newer release with a type that the installed "
        "one does not know.",
        cure="Upgrade safetensors in the sessions' environment. If the newest release refuses the file as well, save "
        "it again, and report it: then the doctor's own reader is too lenient.",
    ),
    Entry(
        code="weights-unverified",
        severity="info",
        title="Nothing tells what the weights should be",
        cause="There is no hash to compare with: no cache record, no Git LFS pointer, no lock. The files are "
        "consistent in themselves; whether they are the right ones is not known.",
        cure="Once the model is known to work, record it with `sage-doctor lock`.",
    ),
    Entry(
        code="weights-drift",
        severity="error",
        title="The weights are not the ones that were locked",
        cause="The files differ from what `sage-doctor.lock` records: somebody replaced the model, or it was damaged.",
        cure="If the change is meant, run `sage-doctor lock` again and commit the result. If not, restore the model.",
    ),
    Entry(
        code="base-drift",
        severity="error",
        title="The adapter's base is not the one that was locked",
        cause="The adapter is the same, and what it is loaded onto has other weights than when `sage-doctor lock` "
        "recorded it. Everything loads, and the sessions talk to another model.",
        cure="Put the base back, or have `base` in the manifest name the right one. If the new base is meant, run "
        "`sage-doctor lock` again and commit the result.",
    ),
    Entry(
        code="config-drift",
        severity="warning",
        title="Files beside the weights are not those that were locked",
        cause="The weights are the locked ones; a configuration, a tokenizer file, a chat template or the stated "
        "origin is not. Whether that matters depends on what changed: a chat template changes every answer.",
        cure="Compare the file with the one of a machine where it is right. If the change is meant, run "
        "`sage-doctor lock` again and commit the result.",
    ),
)
