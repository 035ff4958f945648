"""What a configuration says of attention: which implementation a load takes, and how far a sliding window reaches."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sage_doctor.facts.model_source import model_source
from sage_doctor.readers.python_source import source_text

_TABLE = re.compile(r"^class AttentionInterface\b.*?^    _global_mapping = \{(.*?)^    \}", re.MULTILINE | re.DOTALL)
# A model that slides wherever a window is stated: mistral, mixtral, phi3.
_SLIDES = re.compile(r"create_causal_mask if \S*\.sliding_window is None else create_sliding_window_causal_mask")


def stated_attention(site_packages: Sequence[Path], config: Mapping[str, Any]) -> dict[str, str]:
    """Return the implementations of attention that a load takes from a config, by the name of the setting.

    The name without the underscore is read since transformers 5 only.
    """
    stated = {k: v for k in ("_attn_implementation", "attn_implementation") if isinstance(v := config.get(k), str)}
    if "attn_implementation" in stated:
        text = "".join(source_text(p / "transformers/configuration_utils.py") for p in site_packages)
        if 'config_dict["attn_implementation"] = kwargs' in text:
            del stated["attn_implementation"]
    return stated


def attention_faults(site_packages: tuple[Path, ...], config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each implementation of attention that the session's transformers does not have.

    A name with a slash is a kernel of the hub, one with a bar a paged one. What a model's own module adds counts.
    """
    for field, name in stated_attention(site_packages, config).items():
        if name == "eager" or "/" in name or "|" in name:
            continue
        table = _TABLE.search("".join(source_text(p / "transformers/modeling_utils.py") for p in site_packages))
        known = re.findall(r'^ +"([^"]+)":', table[1], re.MULTILINE) if table else ()
        if (
            known
            and name not in known
            and f'"{name}"' not in model_source(site_packages, str(config.get("model_type")))
        ):
            yield f"{field} is {name!r}, an attention that it does not have ({', '.join(known)} or eager)"


def window_faults(site_packages: tuple[Path, ...], config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each sliding window with which the first prompt fails: those who want none write null."""
    text = config.get("text_config")
    for where, part in (("", config), ("text_config.", text)):
        if not isinstance(part, Mapping) or "sliding_window" not in part:
            continue
        window, types = part["sliding_window"], part.get("layer_types")
        if isinstance(types, list) and "sliding_attention" in types:
            wrong = window is None or (type(window) is int and window <= 0)
        elif type(window) is int and window <= 0:
            # Before 5, caches take 0 for none.
            slides = _SLIDES.search(model_source(site_packages, str(part.get("model_type")))) is not None
            wrong = slides and (window < 0 or not _takes_zero(site_packages))
        else:
            wrong = False
        if wrong:
            shown = "null" if window is None else window
            yield f"{where}sliding_window is {shown}, where the number of tokens that a layer looks back is expected"


def _takes_zero(site_packages: Sequence[Path]) -> bool:
    cache = "".join(source_text(p / "transformers/cache_utils.py") for p in site_packages)
    return 'getattr(decoder_config, "sliding_window", None) or getattr' in cache
