"""One model under examination: its facts, each read once, when a check asks for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sage_doctor.facts.adapter_layouts import AdapterLayout, read_layout
from sage_doctor.facts.adapters import (
    AdapterConfig,
    AdapterWeights,
    lora_tensors,
    read_adapter_config,
    read_adapter_weights,
)
from sage_doctor.facts.bases import SAME_NAME, Candidate, ResolvedBase, candidates_for, resolve_base
from sage_doctor.facts.config import ConfigFacts, read_config_facts
from sage_doctor.facts.tokenizers import TokenizerFacts, read_tokenizer
from sage_doctor.facts.weights import Weights, read_weights
from sage_doctor.manifest.specs import ModelPath, ModelSpec
from sage_doctor.readers.json_object import JsonFile, read_json_object
from sage_doctor.readers.safetensors_header import Tensor
from sage_doctor.readers.tree import Tree, read_tree
from sage_doctor.subjects.host import Host
from sage_doctor.system.frozen import frozen
from sage_doctor.system.location import Location, locate

if TYPE_CHECKING:
    from sage_doctor.facts.hub_cache import HubFacts

ModelKind = Literal["full", "merged", "adapter"]


@frozen
class Base:
    """What an adapter's base resolves to. `model` is None where it resolves to nothing.

    `source` says who named it: the manifest or adapter_config.json. `place` is set for a path or repository name,
    `hub` where the Hugging Face cache was asked.
    """

    text: str | None
    source: str
    model: Model | None = None
    place: ResolvedBase | None = None
    hub: HubFacts | None = None


class Model:
    """A model of the manifest, or a model directory found below the examined one.

    `name` is the report's subject. `required` is False where no role of this machine needs it: it cannot make the
    machine unhealthy then. `siblings` are the other models of the run, by name. `served_by` names the service that is
    asked where memory is too short to load this one.
    """

    def __init__(
        self,
        *,
        name: str,
        kind: ModelKind,
        host: Host,
        reference: ModelPath,
        spec: ModelSpec | None = None,
        required: bool = True,
        siblings: Mapping[str, Model] | None = None,
    ) -> None:
        self.name = name
        self.kind: ModelKind = kind
        self.host = host
        self.reference = reference
        self.spec = spec
        self.required = required
        self.siblings: Mapping[str, Model] = siblings if siblings is not None else {}
        self.served_by: str | None = None
        self.called: str | None = None

    def __repr__(self) -> str:
        """Return what a debugger shows."""
        return f"Model({self.name!r}, {self.kind}, {self.reference.text!r})"

    @property
    def title(self) -> str:
        """What people call it: a directory by its own name, a snapshot of the hub's cache by its repository."""
        if self.spec is not None or self.called is not None:
            return self.called or self.name
        place = os.path.abspath(self.path)
        commit = os.path.basename(place)
        repository = os.path.basename(os.path.dirname(os.path.dirname(place)))
        if os.path.basename(os.path.dirname(place)) == "snapshots" and repository.startswith("models--"):
            return f"{repository.removeprefix('models--').replace('--', '/', 1)}@{commit[:7]}"
        return os.path.basename(place) or place if self.name == "." else self.name

    @cached_property
    def hub(self) -> HubFacts | None:
        """What the Hugging Face cache holds for an `hf:` reference; None for a path."""
        if self.reference.hub is None:
            return None
        from sage_doctor.facts.hub_cache import resolve_hub  # noqa: PLC0415 - most runs never ask the cache, and need no time for it

        return resolve_hub(self.host.hub_cache_dir, self.reference.hub, self.reference.revision)

    @property
    def path(self) -> Path:
        """The directory the model lies in. Ask `found` first: it may not exist."""
        if self.reference.path is not None:
            return self.reference.path
        assert self.hub is not None  # a reference is a path or an hf: name
        return self.hub.snapshot or self.hub.folder

    @cached_property
    def location(self) -> Location:
        """Where the declared path leads."""
        return locate(self.path, home=self.host.home, other_homes=self.host.other_homes, roots=self.host.roots)

    @property
    def found(self) -> bool:
        """Whether there is a directory to examine."""
        if self.hub is not None and self.hub.snapshot is None:
            return False
        return self.location.node.kind == "directory"

    @cached_property
    def tree(self) -> Tree:
        """The names in the directory."""
        return read_tree(self.path)

    @cached_property
    def config_file(self) -> JsonFile:
        """`config.json` as read."""
        return read_json_object(self.path / "config.json", most=1 << 24)

    @cached_property
    def config(self) -> ConfigFacts:
        """The numbers in `config.json`; empty where it cannot be read."""
        return read_config_facts(self.config_file.value or {})

    @cached_property
    def weights(self) -> Weights:
        """What a load would read. An adapter's own weights are `adapter_weights`."""
        return read_weights(self.tree, self.config_file.value)

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        """Header entries of all weights that a load would read, by name."""
        if self.kind == "adapter":
            header = self.adapter_weights.header
            return header.tensors if header else {}
        return self.weights.tensors()

    @cached_property
    def tokenizer(self) -> TokenizerFacts:
        """The tokenizer files."""
        return read_tokenizer(self.tree, cache=self.host.cache_dir / "tokenizers.json")

    @cached_property
    def adapter_config(self) -> AdapterConfig:
        """`adapter_config.json` as read."""
        return read_adapter_config(self.tree)

    @cached_property
    def adapter_weights(self) -> AdapterWeights:
        """The adapter's weight file."""
        return read_adapter_weights(self.tree)

    @cached_property
    def holds_both(self) -> bool:
        """Whether the directory holds a whole model and an adapter: transformers puts the second on the first."""
        adapter = self.tree.is_file("adapter_config.json") and self.adapter_weights.name is not None
        return adapter and self.tree.is_file("config.json") and self.weights.form != "none"

    @cached_property
    def adapter_layout(self) -> AdapterLayout | None:
        """What the directory is instead of an adapter as PEFT writes one."""
        return read_layout(self.tree, self.adapter_config.file.value)

    @cached_property
    def base(self) -> Base:
        """The base of an adapter: the manifest's word first, then adapter_config.json."""
        if self.spec is not None and self.spec.base is not None:
            named = self.siblings.get(self.spec.base)
            if named is not None and self.spec.base_path is None:
                return Base(text=self.spec.base, source="manifest", model=named)
            if self.spec.base_path is not None:
                return self._base_at(self.spec.base_path, self.spec.base, "manifest")
        text = self.adapter_config.base
        if text is None:
            return Base(text=None, source="adapter_config.json")
        place = resolve_base(text, adapter=self.path, cwd=self.host.cwd, home=self.host.home)
        directory = place.found or place.beside
        if directory is not None:
            model = self._model_at(ModelPath(text=text, path=directory))
            return Base(text=text, source="adapter_config.json", model=model, place=place)
        if place.repo_id is None:
            return Base(text=text, source="adapter_config.json", place=place)
        revision = (self.adapter_config.values or {}).get("revision")
        reference = ModelPath(text=text, hub=text, revision=revision if isinstance(revision, str) else None)
        base = self._base_at(reference, text, "adapter_config.json")
        return Base(text=text, source=base.source, model=base.model, place=place, hub=base.hub)

    def _base_at(self, reference: ModelPath, text: str, source: str) -> Base:
        model = self._model_at(reference)
        return Base(text=text, source=source, model=model if model.found else None, hub=model.hub)

    def _model_at(self, reference: ModelPath) -> Model:
        """Return the run's own model at that place, or one made for it."""
        model = Model(name=reference.text, kind="full", host=self.host, reference=reference, required=self.required)
        if not model.found:
            return model
        own = model.location.node
        for other in self.siblings.values():
            if other is not self and other.found:
                node = other.location.node
                if (node.device, node.inode) == (own.device, own.inode):
                    return other
        return model

    @property
    def tokenizer_model(self) -> Model:
        """The model whose tokenizer a session would use: an adapter's own where it has one, else its base's."""
        if self.kind == "adapter" and self.tokenizer.source is None and self.base.model is not None:
            return self.base.model
        return self

    def depends_on(self) -> list[Model]:
        """Return the models this one is built on, nearest first: an adapter cannot be better than its base."""
        if self.kind != "adapter" or not self.found or self.base.model is None:
            return []
        return [self.base.model]

    def candidates(self, text: str) -> list[Candidate]:
        """Return where the model named `text` may lie on this machine, best provenance first."""
        known = [
            (m.path, m.name)
            for m in self.siblings.values()
            if m is not self and m.kind != "adapter" and m.found and m.weights.form != "none"
        ]
        found = [p for p in self.host.whole_nearby_models if p != self.path]
        cached = [(c.repo_id, c.snapshot) for c in self.host.cached_models]
        named = [
            (base.path, f"the base in the merge recipe of {m.name}")
            for m in self.siblings.values()
            if m.spec is not None and m.spec.merge is not None and m.spec.merge.adapter == self.name
            if (base := self.siblings.get(m.spec.merge.base)) is not None and base.found
        ]
        return candidates_for(
            text,
            named=named,
            known=known,
            found=found,
            cached=cached,
            roots=(*self.host.roots, self.host.home),
            exclude=[self.path],
        )

    def base_candidates(self, text: str | None) -> list[Candidate]:
        """Return where this adapter's base may be: known by its origin or full name, whole, and of the right sizes.

        Where the adapter names none, the other models of the manifest count as well.
        """
        from sage_doctor.facts.base_fit import could_be_base  # noqa: PLC0415 - only where a base is missing

        loras = lora_tensors(self.tensors.values())
        listed = {m.path for m in self.siblings.values() if m.spec is not None} if text is None else set()
        found = self.candidates(text or self.path.name)
        return [c for c in found if (c.rank <= SAME_NAME or c.path in listed) and could_be_base(c.path, loras)]
