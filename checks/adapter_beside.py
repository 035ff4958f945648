"""A whole model and an adapter that a session gets both, one on the other: in one directory, or merged before."""

from __future__ import annotations

from collections.abc import Iterator

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.facts.library_source import takes_own_weights
from sage_doctor.readers.merge_record import RECORD, merged_adapters
from sage_doctor.subjects.model import Model
from sage_doctor.text import printable, shell_quote

ORDER = 75  # of the check files: causes before consequences

LOCATED = ("check_path", "check_hub", "check_hub_blobs")


@check("static", after=LOCATED)
def check_adapter_beside_weights(model: Model) -> Iterator[Finding]:
    """No adapter lies beside weights that hold it already.

    A repository may ship a model with an adapter of its own, which names that repository: then both belong together.
    """
    if not model.holds_both:
        raise NotApplicable("there are not a whole model and an adapter in the directory")
    own = takes_own_weights(model.host.session.site_packages)
    base = model.adapter_config.base
    merged = model.kind == "merged" or model.tree.is_file(RECORD)
    place = _base_elsewhere(model)
    if not merged and place is None:
        return
    on = f" of {printable(base)}" if base else ""
    does = (
        "transformers loads that base and the adapter instead of these weights"
        if own is False
        else "from_pretrained puts it on top of these weights, and if they are merged or trained, it is applied twice"
    )
    yield finding(
        "adapter-left-beside-weights",
        f"an adapter{on} lies beside {printable(model.weights.entry or 'the weights')}: {does}",
        severity="warning" if model.kind == "adapter" else None,
        evidence={"base": base, "adapter": model.adapter_weights.name, "weights": model.weights.entry},
        fix=Fix(
            summary="If the weights are merged or trained, move the adapter's files out of the directory.",
            commands=(
                f"mkdir -p {shell_quote(str(model.path) + '-adapter')}",
                f"mv -n {shell_quote(model.path)}/adapter_* {shell_quote(str(model.path) + '-adapter')}/",
            ),
        ),
    )


def _base_elsewhere(model: Model) -> str | None:
    """Return where the adapter's base is, if it is another place on a disk than this directory; None where unknown."""
    place = model.base.place
    found = model.base.model
    if found is not None and found.found:
        same = (found.location.node.device, found.location.node.inode)
        here = (model.location.node.device, model.location.node.inode)
        return None if same == here else str(found.path)
    return place.text if place is not None and place.form != "repository" else None


@check("static", after=LOCATED, kinds=["adapter"])
def check_adapter_not_merged(model: Model) -> Iterator[Finding]:
    """The base does not hold the adapter already, by the record of its merge.

    Only where there is such a record is the adapter's file read; its hash is kept.
    """
    base, weights = model.base.model, model.adapter_weights
    known = merged_adapters(base.path) if base is not None and base.tree.is_file(RECORD) else ()
    if base is None or weights.name is None or not known:
        raise NotApplicable(f"its base has no {RECORD} that names an adapter")
    from sage_doctor.facts.hashing import hash_files  # reads a whole file

    cache = model.host.hash_cache
    (digest,) = hash_files([(model.path / weights.name, "sha256")], cache=cache).values()
    if any(entry.get("sha256") == digest for entry in known):
        yield finding(
            "adapter-already-merged",
            f"the base {printable(str(base.path))} holds this adapter already, as its {RECORD} says",
            evidence={"base": str(base.path), "sha256": str(digest)},
            fix=Fix(
                summary="Run that model without the adapter, or name the base that the adapter was trained on.",
                commands=(f"sage-doctor check {shell_quote(base.path)}",),
            ),
        )
