"""What a model's files ask of the packages in the sessions' interpreter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from sage_doctor.facts.attention import stated_attention
from sage_doctor.facts.rope import ignored_before_5
from sage_doctor.facts.tokenizers import is_tiktoken
from sage_doctor.findings.making import finding
from sage_doctor.readers.python_source import source_text
from sage_doctor.readers.versions import satisfies
from sage_doctor.report import Finding, Fix
from sage_doctor.text import printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.subjects.model import Model

# What config.json's quant_method takes; one of the alternatives is enough (releases of transformers ask for others).
_QUANTIZERS: Mapping[str, tuple[str, ...]] = {
    "bitsandbytes_4bit": ("bitsandbytes",),
    "bitsandbytes_8bit": ("bitsandbytes",),
    "gptq": ("gptqmodel", "auto-gptq"),
    "awq": ("gptqmodel", "autoawq"),
    "quark": ("amd-quark",),
    "compressed-tensors": ("compressed-tensors",),
    "hqq": ("hqq",),
    "quanto": ("optimum-quanto",),
    "torchao": ("torchao",),
    "aqlm": ("aqlm",),
    "eetq": ("eetq", "kernels"),
    "vptq": ("vptq",),
    "auto-round": ("auto-round",),
    "fbgemm_fp8": ("fbgemm-gpu-genai", "kernels"),
}


def taken_by_files(model: Model) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield what the model's files need: a sentence, and the packages of which one is enough."""
    from sage_doctor.facts.quantization import is_left_over  # noqa: PLC0415 - only where a model states one
    from sage_doctor.subjects.needs import quantization_method  # noqa: PLC0415 - reads the model

    method = quantization_method(model)
    if method is not None and method in _QUANTIZERS and not is_left_over(method, model.tensors.values()):
        shown = printable(method.removesuffix("_4bit").removesuffix("_8bit"))
        for alternatives in _of_quantizer(model, method):
            yield f"its quantisation ({shown})", alternatives
    values = model.config_file.value or {}
    if "flash_attention_2" in stated_attention(model.host.session.site_packages, values).values():
        yield "the attention its config.json asks for (flash_attention_2)", ("flash-attn", "kernels")
    names = model.tree.names
    # Without any configuration no tokenizer class is chosen: Meta's own download has a tiktoken file of that name.
    if "tokenizer.json" not in names and names & {"config.json", "tokenizer_config.json", "adapter_config.json"}:
        pieces = sorted(names & {"tokenizer.model", "spiece.model", "spm_char.model"})
        tiktoken = any(n.endswith(".tiktoken") for n in names) or any(is_tiktoken(model.path / n) for n in pieces)
        if pieces and not tiktoken:
            yield "its tokenizer (a SentencePiece file without tokenizer.json)", ("sentencepiece",)
        if tiktoken:
            yield "its tokenizer (a tiktoken file without tokenizer.json)", ("tiktoken",)


def _of_quantizer(model: Model, method: str) -> Iterator[tuple[str, ...]]:
    """Yield the packages that a quantisation needs: of the known ones, those that the sessions' transformers asks for.

    AWQ is read by autoawq before transformers 5 and by gptqmodel since; GPTQ goes through optimum as well.
    """
    stem = re.sub(r"_[48]bit$", "", method)
    sites = model.host.session.site_packages
    text = "".join(source_text(p / f"transformers/quantizers/quantizer_{stem}.py") for p in sites)
    asked = {n for n in _QUANTIZERS[method] if f"pip install {n}" in text}
    yield tuple(n for n in _QUANTIZERS[method] if not asked or n in asked)
    if "is_optimum_available()" in text:
        yield ("optimum",)


def config_is_newer(model: Model) -> Finding | None:
    """Return what config.json says that an older transformers silently ignores, or None.

    A version in itself is no reason to worry. Releases from 5 on write what rotary positions are made of where earlier
    ones do not look; those compute with the defaults of their class instead, and no message says so.
    """
    values = model.config_file.value or {}
    session = model.host.session
    installed = session.version_of("transformers")
    if installed is None or satisfies(installed, "<5") is not True:
        return None
    text = values.get("text_config")
    parts = (values, text) if isinstance(text, Mapping) else (values,)
    ignored = next((i for part in parts if (i := ignored_before_5(session.site_packages, part))), None)
    if ignored is None:
        return None
    instead, theta = ignored
    saved = values.get("transformers_version")
    return finding(
        "package-version",
        f"config.json was saved by transformers {printable(str(saved or '5 or newer'), limit=40)}: the sessions' "
        f"transformers {printable(installed, limit=40)} does not read its rope_parameters, and would silently compute "
        f"positions {instead}",
        evidence={"installed": installed, "saved_by": saved, "rope_theta": theta},
        fix=Fix(
            summary="Upgrade transformers in the sessions' environment to 5 or newer, or write rope_theta (and "
            "rope_scaling, if rope_type is not default) beside rope_parameters in config.json as well.",
            commands=(f"{shell_quote(session.executable)} -m pip install --upgrade {shell_quote('transformers>=5')}",),
        ),
    )
