"""The tokenizer: there, readable by the session, and within the embedding's rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from packaging.version import InvalidVersion, Version

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.facts.adapters import lora_tensors, rows_trained
from sage_doctor.facts.bases import SIMILAR
from sage_doctor.facts.chat_template import template_fault
from sage_doctor.facts.config import additional_rows, names_timm
from sage_doctor.facts.embeddings import embedding_tensor
from sage_doctor.facts.library_source import knows_model_type
from sage_doctor.facts.library_tokenizers import (
    knows_tokenizer_class,
    methods_named,
    needs_merges,
    states_its_own,
    takes_text,
    vocabulary_files,
)
from sage_doctor.facts.model_source import is_class_of_another_library, pads_its_embedding
from sage_doctor.findings.candidates import as_candidates
from sage_doctor.findings.json_slips import corrected
from sage_doctor.findings.misnamed import tokenizer_nearby
from sage_doctor.findings.nearby import weights_nearby
from sage_doctor.findings.restore import companions_back, lfs_pull, without
from sage_doctor.readers.repo_id import is_snapshot
from sage_doctor.readers.tree import TOKENIZER_FILES, names_modules, read_tree
from sage_doctor.subjects.model import Model
from sage_doctor.text import join_limited, printable, shell_quote

ORDER = 90  # of the check files: causes before consequences

FULL = ("full", "merged")
PLACED = ("check_path", "check_hub", "check_hub_blobs")
LOCATED = (*PLACED, "check_config")
PAIRED_MERGES_SINCE = Version("0.20")


@check("static", after=(*PLACED, "check_config_type", "check_custom_code_present"), kinds=FULL)
def check_tokenizer(model: Model) -> Iterator[Finding]:
    """There is a tokenizer beside the weights."""
    if names_modules(model.tree):
        raise NotApplicable("modules.json names the directories below that hold the model")
    if model.config_file.value is None or _came_without_weights(model):
        raise NotApplicable("the model is not here, and what brings it brings the tokenizer")
    if names_timm(model.config_file.value):
        raise NotApplicable("models of timm take no text")
    if model.tokenizer.source is None:
        reason = _why_none_is_needed(model)
        if reason:
            raise NotApplicable(reason)
        back = companions_back(model, ["tokenizer.json", "tokenizer_config.json"])
        near = tokenizer_nearby(model)
        donors = as_candidates(c for c in model.candidates(model.path.name) if c.rank <= SIMILAR)
        yield finding(
            "tokenizer-missing",
            "no tokenizer files (tokenizer.json, tokenizer.model, or vocabulary and merges)",
            evidence={"path": str(model.path), "candidates": donors},
            fix=_copied(model, near, back)
            if near is not None
            else dataclasses.replace(back, summary=f"Copy the tokenizer files from the base model. Or: {back.summary}"),
        )


def _why_none_is_needed(model: Model) -> str:
    """Return why a model without tokenizer files may be whole: by the library's tables, or its own settings."""
    kind, named, own = model.config.model_type or "", next(iter(model.config.architectures), ""), model.tokenizer
    sites, code = model.host.session.site_packages, model.config.auto_map
    if takes_text(sites, kind, named) is False:
        return f"{printable(named or kind, limit=60)} takes no text"
    if named and is_class_of_another_library(sites, kind, named):
        return f"{printable(named, limit=60)} is not a class of transformers: its library knows"
    if states_its_own(sites, model.config_file.value or {}):
        return "config.json names a tokenizer of another library"
    if "auto_map" in own.config and knows_tokenizer_class(sites, own.tokenizer_class or "") is False:
        return "code of its own reads the tokenizer"
    if code and "AutoTokenizer" not in code and not own.config and knows_model_type(sites, kind) is False:
        return "code of its own makes the model, and names no tokenizer"
    files = vocabulary_files(sites, kind, own.tokenizer_class)
    others = files is not None and (not files or any(map(model.tree.is_file, files)))
    return "its class reads other files, or none" if others else ""


def _copied(model: Model, near: Path, back: Fix) -> Fix:
    """Return the fix that copies the tokenizer from a directory near by."""
    tree = read_tree(near)
    names = sorted(
        (tree.names & TOKENIZER_FILES) | {n for n in tree.names if n in ("added_tokens.json", "chat_template.jinja")}
    )
    files = " ".join(shell_quote(near / n) for n in names)
    return dataclasses.replace(
        back,
        summary=f"Copy the tokenizer files from {printable(str(near))}, where this model's run keeps them.",
        commands=(f"cp -n {files} {shell_quote(model.path)}/", *back.commands),
    )


def _came_without_weights(model: Model) -> bool:
    """Return whether weights and tokenizer are missing for one reason: a merge never made, a partial download."""
    weights = model.weights
    if weights.form != "none":
        return False
    made = model.spec is not None and model.spec.merge is not None
    return made or bool(weights_nearby(model) or weights.shards or weights.blocked_names) or is_snapshot(model.path)


@check("static", after=(*LOCATED, "check_tokenizer"))
def check_tokenizer_readable(model: Model) -> Iterator[Finding]:
    """The tokenizer files are whole, and of a form that the session's tokenizers can read."""
    facts = model.tokenizer
    if facts.problems:
        first = facts.problems[0]
        where = f"{first.file}:{first.line}" if first.line else first.file
        names = [p.file for p in facts.problems]
        yield finding(
            "tokenizer-invalid",
            f"{where}: {printable(first.message)}"
            + ("; a load goes on without its settings and chat template" if first.passed_over else ""),
            severity="warning" if first.passed_over else None,
            evidence={"files": names, "line": first.line},
            fix=lfs_pull(model, names)
            if first.lfs_pointer
            else corrected(model, first.file, first.line, companions_back(model, names)),
        )
        return
    if (
        facts.vocabulary_alone
        and needs_merges(model.host.session.site_packages, model.config.model_type or "", facts.tokenizer_class)
        is not False
    ):
        yield finding(
            "tokenizer-invalid",
            "merges.txt: not there, and vocab.json alone does not tell how words are split",
            evidence={"files": ["merges.txt"], "line": 0},
            fix=companions_back(model, ["merges.txt"]),
        )
        return
    clash = methods_named(model.host.session.site_packages, facts.config)
    if clash:
        yield finding(
            "tokenizer-invalid",
            f"tokenizer_config.json: {printable(clash[0])} is a method of every tokenizer, and a load refuses it as a "
            f"setting ({printable(clash[0])} conflicts with the method)",
            evidence={"files": ["tokenizer_config.json"], "line": 0, "keys": clash},
            fix=Fix(
                summary=f"Take {join_limited(clash)} out of tokenizer_config.json; older releases of transformers "
                "passed over it.",
                commands=(without(model, "tokenizer_config.json", clash[0]),) if len(clash) == 1 else (),
            ),
        )
        return
    version = model.host.session.packages.get("tokenizers")
    if facts.merges_as_pairs and version and _older(version, PAIRED_MERGES_SINCE):
        yield finding(
            "tokenizer-invalid",
            f"tokenizer.json has a format that the session's tokenizers {printable(version)} cannot read (merges as "
            "pairs, since 0.20)",
            evidence={"files": ["tokenizer.json"], "tokenizers": version},
            fix=Fix(
                summary="Upgrade tokenizers (and transformers with it) in the sessions' environment.",
                commands=(
                    f"{shell_quote(model.host.session.executable)} -m pip install --upgrade transformers tokenizers",
                ),
            ),
        )


def _older(version: str, than: Version) -> bool:
    try:
        return Version(version) < than
    except InvalidVersion:
        return False


def _grown(adapter: Model) -> int:
    """Return how many tokens an adapter's embedding is for: a base with fewer rows is told otherwise."""
    loras = lora_tensors(adapter.tensors.values())
    found = [t.tensor.shape[1] for t in loras if t.part == "embedding_A" and len(t.tensor.shape) > 1]
    return max([*found, rows_trained(adapter.adapter_config.values or {})])


@check("static", after=("*",))
def check_tokenizer_fits_weights(model: Model) -> Iterator[Finding]:
    """Every token id has a row in the embedding."""
    facts = model.tokenizer
    if facts.highest_id is None:
        raise NotApplicable("the tokenizer states no ids that can be read here")
    embedding = embedding_tensor(model.tensors)
    if embedding is None and model.kind == "adapter" and model.base.model is not None and model.base.model.found:
        embedding = embedding_tensor(model.base.model.tensors)
    rows = embedding.shape[0] if embedding is not None else model.config.vocab_size
    if rows is not None:
        rows += additional_rows(model.config_file.value or {})
    if rows is not None and model.kind == "adapter":
        rows = max(rows, _grown(model))
    if rows is None or (model.config.quantized and embedding is None):
        raise NotApplicable("the number of embedding rows is not known")
    later = facts.highest_id + len(facts.added_by_config)
    if facts.highest_id < rows <= later:
        name = printable(facts.added_by_config[-1], limit=40)
        yield finding(
            "tokenizer-vocab-overflow",
            f"tokenizer_config.json names {name}, which tokenizer.json does not have: a load adds it as token id "
            f"{later}, and the embedding has {rows} rows; a prompt or batch that contains it fails",
            severity="warning",
            evidence={"highest_id": later, "token": facts.added_by_config[-1], "rows": rows},
            fix=Fix(
                summary=f"Name a token that the vocabulary has in place of {name} in tokenizer_config.json (for "
                "padding often that of eos_token), or copy the tokenizer that belongs to these weights.",
                commands=(f"grep -n _token {shell_quote(model.path / 'tokenizer_config.json')}",),
            ),
        )
    if facts.highest_id >= rows:
        back = companions_back(model, ["tokenizer.json"])
        token = printable(facts.highest_token or "", limit=40)
        # Released models have such tokens: Gemma's <image_soft_token> for the text, <mask> of a model that summarises.
        unused = facts.highest_used is not None and facts.highest_used < rows
        yield finding(
            "tokenizer-vocab-overflow",
            f"token id {facts.highest_id} ({token}) has no row in the embedding, which has {rows}"
            + ("; a prompt uses it only if it contains the token itself" if unused else ""),
            severity="warning" if unused else None,
            evidence={"highest_id": facts.highest_id, "token": facts.highest_token, "rows": rows},
            fix=dataclasses.replace(
                back,
                summary=f"Copy the tokenizer that belongs to these weights. {back.summary}",
            ),
        )


@check("static", after=(*LOCATED, "check_config_fits_weights", "check_tokenizer_fits_weights"), kinds=FULL)
def check_padding_token(model: Model) -> Iterator[Finding]:
    """The padding token has a row in the embedding, where the architecture asks for one."""
    values = model.config_file.value or {}
    text = values.get("text_config")
    source = text if isinstance(text, dict) else values
    pad, rows, kind = source.get("pad_token_id"), source.get("vocab_size"), source.get("model_type")
    if type(pad) is not int or type(rows) is not int or not isinstance(kind, str):
        raise NotApplicable("config.json states no padding token and vocabulary")
    if -rows <= pad < rows or not pads_its_embedding(model.host.session.site_packages, kind):
        return
    yield finding(
        "config-invalid",
        f"pad_token_id {pad}, vocab_size {rows}: the embedding has no row for the padding token, and a load fails "
        "(Padding_idx must be within num_embeddings)",
        evidence={"file": "config.json", "pad_token_id": pad, "vocab_size": rows},
        fix=Fix(
            summary=f"Set pad_token_id in config.json to a token below {rows} (often that of eos_token_id), or to "
            "null. If a token was added in training, the weights must be resized and saved with it "
            "(resize_token_embeddings).",
            commands=(f"grep -n token_id {shell_quote(model.path / 'config.json')}",),
        ),
    )


@check("static", after=(*PLACED, "check_tokenizer_readable"))
def check_chat_template_speaks(model: Model) -> Iterator[Finding]:
    """What a user says gets through the chat template."""
    facts = model.tokenizer
    if facts.chat_template is None:
        raise NotApplicable("there is no chat template")
    fault = template_fault(facts.chat_template, facts.config, model.host.python)
    prompted = model.spec is not None and model.spec.prompt is not None
    if fault is None or (fault.unusual and not prompted):
        return
    file = facts.chat_template.file
    pointer = facts.chat_template.text.startswith("version https://git-lfs")
    yield finding(
        "tokenizer-invalid",
        f"{file}{f':{fault.line}' if fault.line else ''}: {'a Git LFS pointer, ' if pointer else ''}{fault.message}",
        evidence={"files": [file], "line": fault.line},
        fix=lfs_pull(model, [file]) if pointer else companions_back(model, [file]),
    )


@check("static", after=("*",))
def check_chat_template(model: Model) -> Iterator[Finding]:
    """A model that is asked in chat form has a chat template."""
    prompt = model.spec.prompt if model.spec is not None else None
    owner = model.tokenizer_model
    if prompt is None:
        raise NotApplicable("no prompt is declared for it")
    if owner.tokenizer.chat_template is None:
        yield finding(
            "chat-template-missing",
            "a prompt is declared, but the tokenizer has no chat template: the prompt is passed as plain text",
            evidence={"path": str(owner.path)},
            fix=Fix(
                summary="Copy chat_template.jinja (or tokenizer_config.json) from the chat version of the base, or "
                "ignore this for a base model that is not meant to chat."
            ),
        )
