"""An adapter that trains the embedding or the output layer of a base that has one weight for both."""

from __future__ import annotations

from collections.abc import Iterator

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.facts.adapter_coverage import WITHOUT_OUTPUT
from sage_doctor.facts.adapters import lora_tensors
from sage_doctor.facts.embeddings import embedding_tensor, vocabulary_layers
from sage_doctor.facts.model_source import read_model_class
from sage_doctor.findings.adapters import WITH_BASE
from sage_doctor.subjects.model import Model
from sage_doctor.text import printable

ORDER = 113  # of the check files: causes before consequences

ADAPTER = ("adapter",)


@check("static", after=WITH_BASE, kinds=ADAPTER)
def check_adapter_embeddings(model: Model) -> Iterator[Finding]:
    """The adapter puts no LoRA on a layer whose weight the base shares with another.

    What it saves whole replaces the layer, and PEFT's merge keeps that.
    """
    base = model.base.model
    values = model.adapter_config.values or {}
    if base is None:
        raise NotApplicable("there is no base")
    if str(values.get("task_type")) in WITHOUT_OUTPUT:
        raise NotApplicable("a model of this task has no output layer over the vocabulary")
    embeddings = vocabulary_layers(base.tensors) | _tied(base)
    trained = sorted(
        t.tensor.name
        for t in lora_tensors(model.tensors.values())
        if _is_one(t.module, embeddings) and not any(p.isdigit() for p in t.module.split("."))
    )
    embedding = embedding_tensor(base.tensors)
    shared = base.config.tied_embeddings
    if shared is None:
        outputs = embeddings - {embedding.name.removesuffix(".weight").rpartition(".")[2] if embedding else ""}
        heads = (n for n in base.tensors if _is_one(n.removesuffix(".weight"), outputs))
        shared = embedding is not None and not any(heads)
    unties = any(f".{leaf}." in trained[0] for leaf in vocabulary_layers(base.tensors)) if trained else False
    if trained and shared:
        yield finding(
            "adapter-tied-embeddings",
            f"it trains {printable(trained[0])}, a layer whose weight the base shares with another",
            evidence={"tensors": trained[:20]},
            fix=Fix(
                summary="Run sessions on base and adapter together"
                + (", or merge with `sage-doctor merge`, which unties the two layers." if unties else ".")
            ),
        )


def _tied(base: Model) -> frozenset[str]:
    """Return the names, from its top, of what the session's class ties (`proj_out`, `lm_head.out_proj`)."""
    kind, places = base.config.model_type, base.host.session.site_packages
    known = read_model_class(places, kind, next(iter(base.config.architectures), "")) if kind else None
    tied = known.tied if known is not None else {}
    return frozenset(n.removesuffix(".weight") for n in tied if n.endswith(".weight"))


def _is_one(module: str, names: frozenset[str]) -> bool:
    """Return whether a module has one of these names, whatever it is a part of."""
    parts = module.split(".")
    return any(".".join(parts[i:]) in names for i in range(len(parts)))
