"""Parts of a model that are not among the tensors of its weights: an expert, the head of a classifier."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.facts.model_source import read_model_class
from sage_doctor.findings.restore import bring_back
from sage_doctor.subjects.model import Model
from sage_doctor.text import join_limited, printable

ORDER = 85  # of the check files: causes before consequences

FULL = ("full", "merged")
BEFORE = (
    "check_tensor_names",
    "check_tensors_filled",
    "check_weights_whole",
    "check_config",
    "check_config_fits_weights",
)
_COUNTS = ("num_local_experts", "num_experts", "n_routed_experts")
_MOST = 4096  # nobody has more: a number that is made up is told by the load
_DIGITS = 4
_HEADS = frozenset({"score", "classifier", "classification_head", "qa_outputs"})
_CLASSIFIER = re.compile(r"\w+For(?:SequenceClassification|TokenClassification|QuestionAnswering)", re.ASCII)


@check("static", after=BEFORE, kinds=FULL)
def check_experts(model: Model) -> Iterator[Finding]:
    """No layer of a mixture of experts lacks one of those that are numbered, or that config.json counts."""
    numbers: dict[str, set[int]] = {}
    for name in model.tensors:
        layer, _, rest = name.rpartition(".experts.")
        number = rest.partition(".")[0]
        if layer and number.isdecimal() and len(number) <= _DIGITS:
            numbers.setdefault(f"{layer}.experts", set()).add(int(number))
    if not numbers:
        raise NotApplicable("no experts are stored one by one")
    values = model.config_file.value or {}
    text = values.get("text_config")
    sources = (values, text) if isinstance(text, dict) else (values,)
    counts = {v for s in sources for k in _COUNTS if type(v := s.get(k)) is int}
    stated = counts.pop() if len(counts) == 1 else 0
    least = stated if stated <= _MOST else 0
    lost = [f"{e}.{n}" for e, have in numbers.items() for n in range(max(least, *have)) if n not in have]
    if lost:
        yield finding(
            "weights-keys-missing",
            f"{len(lost)} expert(s) are not in the weights, though others of their layers are: "
            f"{join_limited([printable(n) for n in lost], most=2)}",
            evidence={"experts": lost[:50]},
            fix=bring_back(model, [f.name for f in model.weights.files]),
        )


@check("static", after=BEFORE, kinds=FULL)
def check_classifier_head(model: Model) -> Iterator[Finding]:
    """A classifier was saved with its head."""
    named, kind = next(iter(model.config.architectures), ""), model.config.model_type or ""
    if not model.tensors or _CLASSIFIER.fullmatch(named) is None:
        raise NotApplicable("it is no classifier")
    known = read_model_class(model.host.session.site_packages, kind, named)
    heads = sorted(known.parts & _HEADS) if known is not None else []
    if heads and not any(part in _HEADS for name in model.tensors for part in name.split(".")):
        yield finding(
            "weights-keys-missing",
            f"the weights have no {join_limited(heads)}: {printable(named, limit=80)}, which config.json names, would "
            "answer with random numbers",
            evidence={"missing": heads, "class": named},
            fix=Fix(
                summary="Save it again with its head, or, if it is the base of a training to come, name the class that "
                "it was saved from in config.json."
            ),
        )
