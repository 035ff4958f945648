"""Models in the local Hugging Face cache, which must be whole to be found without a network."""

from __future__ import annotations

from sage_doctor.findings.entry import Entry

ENTRIES = (
    Entry(
        code="hub-ref-invalid",
        severity="error",
        title="The hub name is not a valid one",
        cause="A model on the hub is named `hf:organisation/name`, or `hf:name`, with letters, digits, `-`, `_` and "
        "`.`. What the manifest says has another form.",
        cure="Correct the name. For a directory on this machine leave out `hf:`.",
        shows=(r"Repo id must use alphanumeric chars", r"Cannot have -- or \.\. in repo_id"),
    ),
    Entry(
        code="hub-not-cached",
        severity="error",
        title="The model is not in the local cache",
        cause="The model was never downloaded on this machine, or it lies in a cache that the session does not look "
        "at (HF_HOME, HF_HUB_CACHE). Without a network it cannot be loaded.",
        cure="Download it once with `hf download`, as the session's user and with the session's HF_HOME.",
        shows=(
            r"couldn't connect to '?https://(huggingface\.co|hf\.co)'? to load (the files|this file)",
            r"Cannot find the requested files in the (disk|local) cache",
            r"LocalEntryNotFoundError",
            r"OfflineModeIsEnabled|offline mode is enabled",
            r"cannot find the requested files in the local cache",
        ),
    ),
    Entry(
        code="hub-ref-missing",
        severity="error",
        title="The cached model has no name that points to it",
        cause="All files are in the cache, but `refs/main` is missing, so that nobody can tell which commit 'main' is. "
        "A load by name fails; a load by commit works.",
        cure="`sage-doctor fix` writes the reference. Or name the commit in the manifest: `hf:org/name@COMMIT`.",
        may_show=(r"couldn't connect to '?https://(huggingface\.co|hf\.co)'? to load (the files|this file)",),
    ),
    Entry(
        code="hub-snapshot-incomplete",
        severity="error",
        title="The cached model lacks files",
        cause="A download stopped part way or fetched only some files. The libraries take a partial snapshot for a "
        "whole one and fail on the first file that lacks.",
        cure="Run `hf download` for the model again: it fetches only what is missing.",
        may_show=(
            r"does not appear to have a file named",
            r"couldn't connect to '?https://(huggingface\.co|hf\.co)'? to load (the files|this file)",
        ),
    ),
    Entry(
        code="hub-blob-missing",
        severity="error",
        title="A file in the cache is a link to nothing",
        cause="The cache keeps the contents in `blobs` and links to them. A blob was deleted or not copied along: "
        "copying only `snapshots`, or copying to a disk without links, does this.",
        cure="Run `hf download` for the model again. To copy a cache, copy the whole `models--…` directory with "
        "`cp -a` or `rsync -a`.",
        shows=(r"No such file or directory:? .{0,400}?/(snapshots|blobs)/",),
    ),
    Entry(
        code="hub-incomplete-download",
        severity="warning",
        title="An unfinished download lies in the cache",
        cause="A file ending in `.incomplete` is what an interrupted download leaves behind. It takes up space and "
        "shows that something wanted a file that may still be missing.",
        cure="Run `hf download` for the model again, which continues it, or delete the file if no download is running.",
    ),
)
