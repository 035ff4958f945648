"""What config.json asks for beyond sizes: a quantisation and rotary positions, which a load obeys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.facts.attention import attention_faults, window_faults
from sage_doctor.facts.config_types import activation_faults, type_faults
from sage_doctor.facts.layer_types import layer_type_faults
from sage_doctor.facts.library_source import knows_model_type, knows_quantizer, refuses_null_quantization
from sage_doctor.facts.quantization import PLAIN, is_left_over, is_of_mlx, stored_quantized
from sage_doctor.facts.rope import rope_faults
from sage_doctor.findings.restore import companions_back, without
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.needs import quantization, quantization_method
from sage_doctor.text import printable, shell_quote

ORDER = 82  # of the check files: causes before consequences

FULL = ("full", "merged")
BEFORE = ("check_path", "check_hub", "check_hub_blobs", "check_weights_present", "check_weights_whole", "check_config")
# torch's dtypes all begin like this; newer ones (float8_…, float4_…) have more behind it.
_DTYPE = re.compile(r"(?:(?:b?float|half|double|c(?:half|float|double)|complex|q?u?int|bits?|bool|long|short)\w*)")
_SHORT = {
    **{n: n for n in ("float16", "bfloat16", "float32", "float64")},
    "fp16": "float16",
    "bf16": "bfloat16",
    "fp32": "float32",
    "half": "float16",
}

# What quantising programs write beside config.json: AutoGPTQ, AutoAWQ, ModelOpt.
_SIDECARS = ("quantize_config.json", "quant_config.json", "hf_quant_config.json")


@check("static", after=BEFORE, kinds=FULL)
def check_quantization(model: Model) -> Iterator[Finding]:
    """The quantisation that config.json names is that of the weights, and one that the session knows."""
    method = quantization_method(model)
    values, session = model.config_file.value or {}, model.host.session
    if values.get("quantization_config", ...) is None and refuses_null_quantization(session.site_packages):
        version = printable(session.packages.get("transformers") or "", limit=40)
        yield finding(
            "config-invalid",
            f"config.json has quantization_config: null, with which the session's transformers {version} fails "
            "('NoneType' object has no attribute 'to_dict')",
            evidence={"file": "config.json", "installed": version},
            fix=Fix(
                summary="Remove quantization_config from config.json; transformers 5 does not mind it.",
                commands=(without(model, "config.json", "quantization_config"),),
            ),
        )
        return
    dtypes = {t.dtype for t in model.tensors.values()}
    if is_of_mlx(values, model.tensors.values()):
        yield finding(
            "config-type-unknown",
            "the weights are quantised by MLX (quantization in config.json), which transformers does not read",
            evidence={"file": "config.json", "quantization": str(values["quantization"])[:200]},
            fix=Fix(
                summary="Run it with mlx-lm (mlx_lm.generate --model), or fetch the version of the model that is not "
                "quantised."
            ),
        )
        return
    stated = values.get("quantization_config")
    if isinstance(stated, Mapping) and not any(map(stated.get, ("quant_method", "load_in_4bit", "load_in_8bit"))):
        yield finding(
            "config-invalid",
            "config.json has a quantization_config without quant_method, which transformers refuses to load",
            evidence={"file": "config.json"},
            fix=Fix(
                summary="If the weights are not quantised, remove quantization_config from config.json. If they are, "
                "write the method that they were quantised with as its quant_method.",
                commands=(without(model, "config.json", "quantization_config"),) if not dtypes - set(PLAIN) else (),
            ),
        )
        return
    if method is None:
        yield from _unstated(model)
        return
    named = str(quantization(model).get("quant_method") or method)
    shown = printable(named, limit=60)
    if is_left_over(method, model.tensors.values()):
        yield finding(
            "config-invalid",
            f"config.json says that the weights are quantised ({shown}), but they are plain {_kinds(dtypes)}: its "
            "quantization_config is left over from the base that was trained or merged",
            evidence={"file": "config.json", "quant_method": named, "dtypes": sorted(dtypes)},
            fix=Fix(
                summary="Remove quantization_config from config.json: these weights then load as they are. Installing "
                "the quantisation's package would not help.",
                commands=(without(model, "config.json", "quantization_config"),),
            ),
        )
        return
    known = knows_quantizer(model.host.session.site_packages, method)
    # What it does not know it passes over with a warning: plain weights load all the same.
    if known is False and dtypes - set(PLAIN):
        version = model.host.session.packages.get("transformers") or "installed"
        yield finding(
            "config-type-unknown",
            f"the weights are quantised by {shown} (quant_method in config.json), which the session's transformers "
            f"({printable(version, limit=40)}) cannot read",
            evidence={"file": "config.json", "quant_method": named, "transformers": version},
            fix=Fix(
                summary="Serve it with the program it was quantised for (its page names it: often vLLM, SGLang or "
                "TensorRT-LLM), or fetch the version of the model that is not quantised. A newer transformers may know "
                "the method.",
            ),
        )


def _unstated(model: Model) -> Iterator[Finding]:
    """Yield what is wrong where weights are quantised and config.json does not say so: a load reads them as numbers."""
    kind, names = stored_quantized(model.tensors)
    known = knows_model_type(model.host.session.site_packages, model.config.model_type or "")
    if not names or model.config.auto_map or known is False:  # code of its own may read them
        raise NotApplicable("config.json names no quantisation, and the weights are not quantised")
    kept = next((n for n in _SIDECARS if model.tree.is_file(n)), None)
    back = companions_back(model, ["config.json"])
    told = f"{kept} beside it says how they were quantised: w" if kept else f"{back.summary} Or w"
    yield finding(
        "config-invalid",
        f"the weights are quantised ({kind}: {printable(names[0], limit=120)} and {len(names) - 1} more), and "
        "config.json has no quantization_config: a load leaves layers random, or takes packed values for the weights",
        evidence={"file": "config.json", "tensors": names[:50], "stated_in": kept},
        fix=Fix(
            summary=f"{told}rite it into config.json as quantization_config, with the quant_method.",
            commands=(_into_config(model, kept),) if kept == "quantize_config.json" else back.commands,
        ),
    )


def _into_config(model: Model, name: str) -> str:
    """Return the command that puts AutoGPTQ's settings where transformers reads them."""
    code = (
        "import json, sys; c, q = sys.argv[1:]; v = json.load(open(c)); "
        'v["quantization_config"] = {**json.load(open(q)), "quant_method": "gptq"}; '
        'json.dump(v, open(c, "w"), indent=2)'
    )
    paths = (shell_quote(model.path / n) for n in ("config.json", name))
    return " ".join((shell_quote(model.host.session.executable), "-c", shell_quote(code), *paths))


def _kinds(dtypes: set[str]) -> str:
    return ", ".join(sorted(dtypes & {"F64", "F32", "F16", "BF16"})) or "numbers"


@check("static", after=BEFORE, kinds=FULL)
def check_dtype(model: Model) -> Iterator[Finding]:
    """The dtype that config.json names is one of torch."""
    values = model.config_file.value or {}
    # The newer name comes first where both are there.
    field = next((k for k in ("dtype", "torch_dtype") if values.get(k) is not None), None)
    if field is None:
        raise NotApplicable("config.json names no dtype")
    named = values[field]
    if isinstance(named, str) and _DTYPE.fullmatch(named) is None:
        right = _SHORT.get(named.rpartition(".")[2].lower())
        shown = printable(named, limit=60)
        yield finding(
            "config-invalid",
            f"config.json: {field} is \"{shown}\", and torch has no dtype of that name: a load fails (module 'torch' "
            f"has no attribute '{shown}')",
            evidence={"file": "config.json", "field": field, "value": named},
            fix=Fix(
                summary=f'Write "{field}": "{right or "bfloat16"}" into config.json'
                + ("." if right else ", or the dtype that the weights were trained in."),
                commands=(f"grep -n dtype {shell_quote(model.path / 'config.json')}",),
            ),
        )


@check("static", after=BEFORE, kinds=FULL)
def check_rotary_positions(model: Model) -> Iterator[Finding]:
    """The session's transformers has the rotary positions that config.json asks for."""
    faults = list(rope_faults(model.host.session.site_packages, model.config_file.value or {}))
    advice = "Take config.json from the model's current revision, or write the setting as the session's transformers "
    yield from _refused(model, faults, f"{advice}wants it.")


@check("static", after=BEFORE, kinds=FULL)
def check_layer_types(model: Model) -> Iterator[Finding]:
    """The list of layer types in config.json has an entry for each layer."""
    faults = list(layer_type_faults(model.host.session.site_packages, model.config_file.value or {}))
    advice = "If layers were taken out or added, write layer_types for the layers that the weights have."
    yield from _refused(model, faults, advice)


@check("static", after=BEFORE, kinds=FULL)
def check_attention(model: Model) -> Iterator[Finding]:
    """The session's transformers has the attention that config.json asks for, and its window reaches somewhere."""
    sites, values = model.host.session.site_packages, model.config_file.value or {}
    advice = "Take the line out of config.json: a load then takes the best that the machine has."
    yield from _refused(model, list(attention_faults(sites, values)), advice)
    windows = list(window_faults(sites, values))
    advice = "Write null for no window, or the number of tokens from the model's page."
    yield from _refused(model, windows, advice, "loads it, and fails at the first prompt")


@check("static", after=(*BEFORE, "check_config_possible"), kinds=FULL)
def check_config_values(model: Model) -> Iterator[Finding]:
    """The values in config.json are of the types that its class takes, and its activations are known."""
    sites, values = model.host.session.site_packages, model.config_file.value or {}
    faults = [*type_faults(sites, values), *activation_faults(sites, values)]
    yield from _refused(
        model, faults, "Write the value as it is expected (12 as 12.0 for a float, no quotation marks around a number)."
    )


def _refused(model: Model, faults: list[str], advice: str, does: str = "refuses to load it") -> Iterator[Finding]:
    """Yield the finding of what a load refuses in config.json; none without faults."""
    if faults:
        version = model.host.session.packages.get("transformers") or "installed"
        yield finding(
            "config-invalid",
            f"config.json: {faults[0]}; transformers {printable(version, limit=40)} {does}",
            evidence={"file": "config.json", "problems": faults, "transformers": version},
            fix=Fix(summary=f"{advice} {companions_back(model, ['config.json']).summary}"),
        )
