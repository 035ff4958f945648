"""How services name their models: Ollama's spellings, aliases, and servers that answer whatever the name is."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# What a single-model server writes into `owned_by`. Each ignores the name in a request, by its source: llama.cpp's
# server (not its router, whose entries have a `status`), KoboldCpp, SGLang, llama-cpp-python.
_IGNORES_NAMES = {"llamacpp": "llama.cpp", "koboldcpp": "KoboldCpp", "sglang": "SGLang", "me": "llama-cpp-python"}
# Takes any name while one model is loaded, refuses it while there are more, and lists both kinds alike.
_LM_STUDIO = "organization_owner"
# Text-generation-webui answers with what is loaded, and lists other names: those of its files, or of OpenAI's models.
_TEXT_GENERATION_WEBUI = "user"
# What `mlx_lm.server` calls the model it was started with; its list has the Hugging Face cache.
_MLX_DEFAULT = "default_model"
_OLLAMA_OWNER = "library"


@dataclass(frozen=True, kw_only=True)
class ListedModel:
    """One entry of a list of models: its name, its other names, and who the service says it belongs to."""

    name: str
    aliases: tuple[str, ...] = ()
    owner: str = ""
    routed: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Every name it answers to."""
        return (self.name, *self.aliases)


def listed_model(entry: object, key: str) -> ListedModel | None:
    """Return a model of a list's JSON, or None where the entry has no name."""
    name = (_text(entry.get(key)) or _text(entry.get("model"))) if isinstance(entry, dict) else ""
    if not isinstance(entry, dict) or not name:
        return None
    return ListedModel(
        name=name,
        aliases=_texts(entry.get("aliases")),
        owner=_text(entry.get("owned_by")),
        routed="status" in entry,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()


def one_for_all(models: Sequence[ListedModel]) -> str:
    """Return the program whose one model answers whatever it is called, empty where names count or it is not known."""
    if len(models) != 1 or models[0].routed:
        return ""
    only = models[0]
    if only.owner and only.owner == only.name:
        return "text-generation-inference"  # TGI: another name is an adapter's, and an unknown one is the model itself
    return _IGNORES_NAMES.get(only.owner, "")


def may_ignore_names(models: Sequence[ListedModel]) -> bool:
    """Return whether a service of one model may be asked for another name to see what it does.

    `transformers serve` and `mlx_lm.server` would download a model that they do not have; their lists name its author
    as the owner, and nobody.
    """
    if len(models) != 1 or models[0].routed:
        return False
    owner = models[0].owner
    return bool(owner) and owner not in (_OLLAMA_OWNER, models[0].name.partition("/")[0])


def shows_when_asked(models: Sequence[ListedModel], name: str) -> bool:
    """Return whether a service may have a model that it does not list, so that only asking it shows.

    `transformers serve` and `mlx_lm.server` list the Hugging Face cache and not the directory they were started with.
    A proxy such as LiteLLM lists a pattern for all of a provider's models.
    """
    names = [n for model in models for n in model.names]
    if name.startswith(("/", "./", "../")) and not any(n.startswith("/") for n in names):
        return True
    if name == _MLX_DEFAULT or any(m.owner in (_LM_STUDIO, _TEXT_GENERATION_WEBUI) for m in models):
        return True
    folded = ollama_name(name)
    return any(ollama_name(n) == folded or ("*" in n and fnmatch.fnmatchcase(name, n)) for n in names)


def is_ollamas(models: Sequence[ListedModel]) -> bool:
    """Return whether this list in the OpenAI API's form is one of Ollama's: every name has a tag."""
    return any(m.owner == _OLLAMA_OWNER for m in models) and all(":" in m.name for m in models)


def ollama_name(name: str) -> str:
    """Return an Ollama name in the one form in which two spellings of it are equal: lower case, with all its parts."""
    rest = name.lower().partition("://")[2] or name.lower()
    stem, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        stem, tag = rest, "latest"
    parts = stem.split("/")
    if len(parts) == 1:
        parts = ["library", *parts]
    if len(parts) == 2:
        parts = ["registry.ollama.ai", *parts]
    return "/".join(parts) + ":" + tag


def is_in_ollamas_cloud(name: str) -> bool:
    """Return whether Ollama passes this model on to its cloud; such a name needs no pull, and so is not listed."""
    tag = name.rpartition(":")[2]
    return ":" in name and "/" not in tag and (tag == "cloud" or tag.endswith("-cloud"))
