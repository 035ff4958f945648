"""Models in the Hugging Face cache: an offline session finds what refs, snapshots and blobs make up together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sage_doctor.check import Finding, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.findings.access import unreadable, unreadable_file
from sage_doctor.findings.hub import dangling_blobs, downloaded, links_as_texts, unresolved
from sage_doctor.readers.repo_id import is_snapshot
from sage_doctor.subjects.model import Model
from sage_doctor.text import format_bytes, join_limited, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.facts.hub_cache import HubFacts

ORDER = 50  # of the check files: causes before consequences


@check("static")
def check_hub(model: Model) -> Iterator[Finding]:
    """The Hugging Face cache holds the model, so that a session without network finds it."""
    if model.hub is None:
        raise NotApplicable("it is not in the Hugging Face cache")
    if model.hub.status != "found":
        yield unresolved(model.hub, model)
        return
    closed = unreadable(model.host, model.path, tree=model.hub.folder) or unreadable_file(model)
    if closed is not None:
        yield closed


@check("static", after=["check_path", "check_hub"])
def check_hub_blobs(model: Model) -> Iterator[Finding]:
    """Every file of the cached snapshot is there."""
    hub = _facts(model)
    if hub is None:
        raise NotApplicable("it is not in the Hugging Face cache")
    if hub.texts:
        yield links_as_texts(hub, model)
        return
    if hub.dangling:
        yield dangling_blobs(hub, model)
        return
    if model.hub is None:
        return  # what else belongs to the repository is not asked of a directory
    missing = [n for n in hub.expected or {} if n not in hub.files and _matters(n)]
    if missing:
        yield finding(
            "hub-snapshot-incomplete",
            f"{len(missing)} of {len(hub.expected or {})} files are missing from the snapshot: {join_limited(missing)}",
            evidence={"missing": missing[:50], "snapshot": str(hub.snapshot)},
            fix=downloaded(model, "Download the rest.", _download(hub)),
        )
        return
    if hub.incomplete:
        first = hub.incomplete[0]
        yield finding(
            "hub-incomplete-download",
            f"a download of this repository is unfinished: {format_bytes(first.size)} of {printable(first.path.name)}",
            evidence={"files": [str(i.path) for i in hub.incomplete[:20]]},
            severity="warning",
            fix=downloaded(model, "Run the download again; existing files are kept.", _download(hub)),
        )


def _facts(model: Model) -> HubFacts | None:
    """Return the cache's facts for a model of the cache, also where its snapshot was named as a directory."""
    if model.hub is not None or not is_snapshot(model.path):
        return model.hub
    from sage_doctor.facts.hub_cache import snapshot_facts

    return snapshot_facts(model.path)


# What transformers itself fetches for a model and its tokenizer. Repositories hold more (other formats, results,
# pictures), and a cache filled by `from_pretrained` has none of that.
_NEEDED = re.compile(
    r"config\.json|model\.safetensors(?:\.index\.json)?|model-\d{5}-of-\d{5}\.safetensors|chat_template\.jinja"
    r"|tokenizer\.json|tokenizer\.model|tokenizer_config\.json|spiece\.model"
)


def _matters(name: str) -> bool:
    return _NEEDED.fullmatch(name) is not None


def _download(hub: HubFacts) -> str:
    return f"hf download {shell_quote(hub.repo_id)} --revision {shell_quote(hub.revision)}"
