"""What an adapter's base is called where that is no name for transformers: an address, a file, another program's name.

transformers takes a directory or the name of a repository. Training tools write down what they were given: a link into
the hub, a GGUF file, a name of Ollama's, a place in ModelScope's cache. Each ends in the same message about the form of
a repository's name.
"""

from __future__ import annotations

import re
from pathlib import Path

from sage_doctor.readers.repo_id import is_repo_id
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import printable, shell_quote

_ADDRESS = re.compile(r"(?:https?://)([\w.-]+)(?::\d+)?/+(.*)", re.IGNORECASE)
_HUB_HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co", "hf-mirror.com"})
_OLLAMA = re.compile(r"(?:ollama/)?(?P<name>[\w.-]+(?:/[\w.-]+)*):(?P<tag>[\w.-]+)", re.ASCII)
_OF_OLLAMA = re.compile(r"ollama/(?P<name>[\w.-]+)", re.ASCII)
_MODELSCOPE = re.compile(r"[/\\]modelscope[/\\](?:hub[/\\])?(?:models[/\\])?([\w.-]+)[/\\]([\w.-]+)[/\\]?$")
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_QUANTISED_BY_MLX = re.compile(r"mlx-community/.+[-_]\d+bits?(?:[-_].*)?", re.IGNORECASE)
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")
_ORIGINAL = "the model that it was converted from, as its model card says (base_model)"


@frozen
class ForeignName:
    """What such a name is, what to do, and a command that can be typed as it stands, or none."""

    what: str
    advice: str
    commands: tuple[str, ...] = ()


def foreign_name(text: str) -> ForeignName | None:
    """Return what a base's name is where it is none that transformers can use; None where it may be one."""
    address = _ADDRESS.fullmatch(text)
    if address is not None:
        return _address(address[1].lower(), address[2])
    of_gguf = re.fullmatch(r"[\w.-]+/[\w.-]+-GGUF", text, re.IGNORECASE) is not None
    if of_gguf or text.lower().endswith(".gguf"):
        return _gguf("is, by its name, a repository of GGUF files" if of_gguf else "is a GGUF file")
    if (ollama := _OLLAMA.fullmatch(text) or _OF_OLLAMA.fullmatch(text)) is not None and not _WINDOWS.match(text):
        return _ollama(ollama["name"], text.removeprefix("ollama/"))
    cached = _MODELSCOPE.search(text)
    if cached is not None:
        repository = f"{cached[1]}/{cached[2].replace('___', '.')}"
        return ForeignName(
            what=f"is a place in ModelScope's cache and stands for {printable(repository)} there",
            advice="Download it with ModelScope, which puts it into its cache here, and name that directory.",
            commands=(f"modelscope download --model {shell_quote(repository)}",),
        )
    if _WINDOWS.match(text):
        return ForeignName(
            what="is a path of a Windows machine",
            advice="Copy that directory to this machine, and name where it is.",
        )
    if _QUANTISED_BY_MLX.fullmatch(text):
        return ForeignName(
            what="is, by its name, quantised for MLX, which transformers does not read",
            advice=f"Name {_ORIGINAL}, or run base and adapter with mlx-lm.",
        )
    path = Path(text)
    if path.suffix in _WEIGHTS and path.is_absolute() and inspect_path(path).kind == "file":
        return ForeignName(
            what="is a file, and a loader takes the directory it is in",
            advice=f"Name that directory: {printable(str(path.parent))}.",
        )
    return None


def _address(host: str, rest: str) -> ForeignName:
    repository = "/".join(rest.split("?", maxsplit=1)[0].strip("/").split("/")[:2])
    if host in _HUB_HOSTS and is_repo_id(repository):
        return ForeignName(
            what="is a web address, and transformers takes a repository's name or a directory",
            advice=f"Name it {printable(repository)}, and download that while there is a network.",
            commands=(f"hf download {shell_quote(repository)}",),
        )
    return ForeignName(
        what="is a web address, from which no loader fetches a model",
        advice="Download the model, and name the directory.",
    )


def _gguf(what: str) -> ForeignName:
    return ForeignName(
        what=f"{what}, on which PEFT cannot put an adapter",
        advice=f"Name {_ORIGINAL}. With llama.cpp, convert the adapter for it (convert_lora_to_gguf.py --base ORIGINAL "
        "ADAPTER) and give it to llama-server as --lora.",
    )


def _ollama(name: str, tagged: str) -> ForeignName:
    hub = name.removeprefix("hf.co/").removeprefix("huggingface.co/")
    if hub != name and is_repo_id(hub):
        return ForeignName(
            what=f"is Ollama's name for {printable(hub)}, which transformers does not find",
            advice=f"Ollama runs GGUF models, on which PEFT cannot put an adapter: name {_ORIGINAL}.",
        )
    return ForeignName(
        what="has the form of Ollama's names, whose models transformers does not read",
        advice="Name the model on the Hugging Face hub that it was made from; Ollama shows its architecture and size.",
        commands=(f"ollama show {shell_quote(tagged)}",),
    )
