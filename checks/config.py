"""`config.json`: there, readable, possible, and fitting the weights beside it."""

from __future__ import annotations

from collections.abc import Iterator

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.facts.config import impossible_sizes, sizes_named
from sage_doctor.facts.embeddings import embedding_tensor, layer_count
from sage_doctor.facts.library_source import knows_model_type
from sage_doctor.facts.quantization import leftover_quantization
from sage_doctor.findings.restore import bring_back, companions_back, lfs_pull
from sage_doctor.subjects.model import Model
from sage_doctor.text import join_limited, printable, shell_quote

ORDER = 80  # of the check files: causes before consequences

FULL = ("full", "merged")
LOCATED = ("check_path", "check_hub", "check_hub_blobs")
WEIGHTS = (
    "check_weights_present",
    "check_shard_index",
    "check_shards_present",
    "check_weights_whole",
    "check_shard_index_matches",
)


@check("static", after=(*LOCATED, "check_weights_present"), kinds=FULL)
def check_config(model: Model) -> Iterator[Finding]:
    """config.json is there and is a JSON object."""
    file = model.config_file
    if file.missing:
        yield finding(
            "config-missing",
            "no config.json beside the weights",
            evidence={"path": str(model.path)},
            fix=companions_back(model, ["config.json"]),
        )
    elif file.problem:
        fix = lfs_pull(model, ["config.json"]) if file.lfs_pointer else companions_back(model, ["config.json"])
        yield finding(
            "config-invalid",
            f"{file.where}: {printable(file.problem)}",
            evidence={"file": "config.json", "line": file.line},
            fix=fix,
        )


@check("static", after=(*LOCATED, "check_weights_present", "check_config"), kinds=FULL)
def check_config_possible(model: Model) -> Iterator[Finding]:
    """The sizes in config.json can belong to a model."""
    impossible = list(impossible_sizes(model.config_file.value or {}))
    if impossible:
        yield finding(
            "config-invalid",
            f"config.json describes an impossible model: {printable(impossible[0])}",
            evidence={"file": "config.json", "problems": impossible},
            fix=companions_back(model, ["config.json"]),
        )


@check("static", after=(*LOCATED, "check_weights_present", "check_config"), kinds=FULL)
def check_config_type(model: Model) -> Iterator[Finding]:
    """The session's transformers knows the model type."""
    model_type = model.config.model_type
    known = knows_model_type(model.host.session.site_packages, model_type or "")
    if known is None:
        raise NotApplicable("the session's transformers could not be read")
    version = model.host.session.packages.get("transformers") or "installed"
    if model_type is None:
        yield finding(
            "config-type-unknown",
            "config.json has no model_type, so AutoModel cannot choose an architecture",
            evidence={"file": "config.json", "architectures": list(model.config.architectures)},
            fix=companions_back(model, ["config.json"]),
        )
    elif not known and not model.config.auto_map:
        yield finding(
            "config-type-unknown",
            f"model_type {printable(model_type, limit=80)} is unknown to the session's transformers ({version})",
            evidence={"model_type": model_type, "transformers": version},
            fix=Fix(
                summary="Upgrade transformers in the sessions' environment to a release that knows this model type, or "
                "correct config.json if it is misspelt.",
                commands=(f"{shell_quote(model.host.session.executable)} -m pip install --upgrade transformers",),
            ),
        )


@check("static", after=LOCATED)
def check_custom_code(model: Model) -> Iterator[Finding]:
    """The model needs no Python code of its own."""
    scripts = model.tree.matching(r".*\.py")
    auto_map = model.config.auto_map if model.kind != "adapter" else ()
    if auto_map or scripts:
        what = (
            f"config.json maps {join_limited(list(auto_map))} to code"
            if auto_map
            else f"{join_limited(scripts)} beside the weights"
        )
        yield finding(
            "custom-code",
            f"the model comes with its own Python code: {what}",
            evidence={"auto_map": list(auto_map), "scripts": scripts[:50]},
            fix=Fix(
                summary="Read the code. If you trust it, pin the revision. In sessions that do not need it, leave "
                "trust_remote_code off."
            ),
        )


@check("static", after=(*LOCATED, *WEIGHTS, "check_config", "check_config_possible"), kinds=FULL)
def check_config_fits_weights(model: Model) -> Iterator[Finding]:
    """The sizes in config.json are those of the weights."""
    if model.weights.form not in ("single", "sharded"):
        raise NotApplicable("the weights have no header to compare with")
    mismatches = list(_mismatches(model))
    if mismatches:
        yield finding(
            "weights-shape-mismatch",
            f"config.json and the weights do not match: {mismatches[0][0]}",
            evidence={"mismatches": [{"what": w, "tensor": t} for w, t in mismatches]},
            fix=Fix(
                summary="Find out which of the two was replaced, and restore the right one. "
                + bring_back(model, ["config.json"]).summary,
                commands=(f"ls -l --time-style=full-iso {shell_quote(model.path)}",),
            ),
        )


def _mismatches(model: Model) -> Iterator[tuple[str, str]]:
    """Yield what does not fit and the tensor that shows it. Judges only what needs no knowledge of architectures."""
    config = model.config
    values = model.config_file.value or {}
    embedding = embedding_tensor(model.tensors)
    if embedding is not None and not config.quantized:
        rows, width = embedding.shape
        other_rows = sizes_named(values, part="vocab")
        if config.vocab_size and rows != config.vocab_size and rows not in other_rows:
            yield f"vocab_size {config.vocab_size}, but {printable(embedding.name)} has {rows} rows", embedding.name
        other_widths = sizes_named(values, part="embed") | sizes_named(values, part="dim")
        if config.hidden_size and width != config.hidden_size and width not in other_widths:
            yield f"hidden size {config.hidden_size}, but {printable(embedding.name)} is {width} wide", embedding.name
    layers = layer_count(model.tensors)
    if not config.layers or not layers or config.nested:
        return
    if layers < config.layers or layers > config.layers + config.extra_layers:
        yield f"{config.layers} layers, but the weights hold {layers}", f"layer {layers - 1}"


@check("static", after=(*LOCATED, *WEIGHTS, "check_config", "check_config_possible"), kinds=FULL)
def check_config_quantization(model: Model) -> Iterator[Finding]:
    """Weights that config.json calls quantised are."""
    left = leftover_quantization(model.config_file.value or {}, model.tensors.values())
    if left is not None:
        yield finding(
            "config-invalid",
            f"config.json says that the weights are quantised ({left}), and they are not: transformers refuses to load "
            "them",
            evidence={"file": "config.json", "quantization": left},
            fix=Fix(summary="Remove quantization_config from config.json: it was left by the model it came from."),
        )
