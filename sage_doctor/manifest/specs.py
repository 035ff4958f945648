"""The manifest as the rest of the program sees it: frozen, checked, resolved for this host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Literal, cast

from sage_doctor.errors import UsageError
from sage_doctor.manifest.names import nearest
from sage_doctor.manifest.watched import HeartbeatSpec, StateSpec
from sage_doctor.system.frozen import frozen
from sage_doctor.text import join_limited, printable

ModelKind = Literal["full", "merged", "adapter"]
Api = Literal["openai", "ollama"]


@frozen
class Budget:
    """What a model may cost, None where nothing is set: seconds, milliseconds, tokens per second, 10^9 bytes."""

    load_s: float | None = None
    first_token_ms: float | None = None
    tokens_per_s: float | None = None
    peak_memory_gb: float | None = None


@frozen
class ModelPath:
    """Where a model is. Exactly one of `hub` and `path` is set.

    `text` is what the manifest says with its variables filled in. `hub` is the `org/name` of an `hf:` reference
    and `revision` its branch, tag or commit, None for the default one. `path` is absolute, links not followed.
    """

    text: str
    hub: str | None = None
    revision: str | None = None
    path: Path | None = None


@frozen
class MergeRecipe:
    """How a merged model is rebuilt.

    `base` and `adapter` are names of manifest models, or the text of a path or `hf:` reference; in that case the
    `_path` beside it says where that is, else it is None.
    """

    base: str
    adapter: str
    base_path: ModelPath | None = None
    adapter_path: ModelPath | None = None


@frozen
class ModelSpec:
    """One `[models.X]` table with the settings of this machine applied. `line` is where the table starts.

    `base` is the name of a manifest model, or the text of a path or `hf:` reference, whose place is `base_path`.
    `fallback` are the models that a script may be given when this one is not complete.
    `served_by` names the service that is asked where memory is too short to load the model.
    """

    name: str
    kind: ModelKind
    path: ModelPath
    base: str | None = None
    base_path: ModelPath | None = None
    merge: MergeRecipe | None = None
    budget: Budget = field(default_factory=Budget)
    prompt: str | None = None
    max_new_tokens: int = 32
    dtype: str = "auto"
    device: str | None = None
    requires: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    served_by: str | None = None
    ignore: tuple[str, ...] = ()
    description: str | None = None
    line: int = 0


@frozen
class ServiceSpec:
    """One `[models.X]` table of kind `service`: a model that is reached over HTTP, without a directory here.

    `url` is what the manifest says with its variables filled in. `model` is the name the service knows it by.
    `api_key_env` is the name of the environment variable with the key, never the key.
    """

    name: str
    url: str
    api: Api = "openai"
    model: str = ""
    api_key_env: str | None = None
    budget: Budget = field(default_factory=Budget)
    prompt: str | None = None
    max_new_tokens: int = 32
    ignore: tuple[str, ...] = ()
    description: str | None = None
    line: int = 0


@frozen
class RoleSpec:
    """One `[roles.X]` table. `runners` are globs with variables filled in, relative ones to the manifest's directory.

    Runners of a role of other machines whose variables have no value here are left out. `max_age_s` is how old a
    recorded result may be for a gate to reuse it, the default of `[gate]` applied; None where neither says.
    """

    name: str
    models: tuple[str, ...] = ()
    runners: tuple[str, ...] = ()
    accelerator: str | None = None
    max_age_s: float | None = None
    description: str | None = None
    line: int = 0


@frozen
class LintSpec:
    """The `[lint]` table: globs of files that are read for paths of one machine, and of those that are left out."""

    paths: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


@frozen
class GateSpec:
    """The `[gate]` table, in seconds: how old a recorded result may be, and how long a gate may take at most."""

    max_age_s: float | None = None
    timeout_s: float | None = None


@frozen
class MachineSpec:
    """One `[machines.X]` table, the manifest's defaults applied.

    `roles` are all roles where the table says none. `python` is None where it is unset, or where it depends on
    something only that machine knows. `vars` holds the values that could be filled in here. `requires` are the
    machine's own requirements, without those of the manifest's top level.
    """

    name: str
    hostname: tuple[str, ...] = ()
    device_tree: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    python: Path | None = None
    accelerator: str | None = None
    requires: tuple[str, ...] = ()
    vars: Mapping[str, str] = field(default_factory=dict)
    home: str | None = None
    line: int = 0


@frozen
class Manifest:
    """A valid manifest as it applies to this host. `machine` is the table that matched, if any.

    `unavailable_here` names the models that are only on other machines, with the reason: no role of this machine
    needs them and their path uses a variable that has no value here. They are not in `models`, but roles of other
    machines may name them; `model` looks up safely. `requires` are the package requirements (PEP 508) of the top
    level and of the machine that matched; a model's own are in `ModelSpec.requires`. `whole` is the manifest before
    it was narrowed to some roles, or none (`for_role`, `for_targets`), None where it was not. `services` are the
    models that are reached over HTTP. `ignore` are the finding codes that are not reported of anything, those of a
    model of that one. `heartbeats` and `states` are those that concern this machine. `renamed` says which keys have
    a former name.
    """

    path: Path
    models: Mapping[str, ModelSpec]
    roles: Mapping[str, RoleSpec]
    machines: Mapping[str, MachineSpec]
    machine: MachineSpec | None = None
    python: Path | None = None
    accelerator: str | None = None
    requires: tuple[str, ...] = ()
    gate: GateSpec = field(default_factory=GateSpec)
    lint: LintSpec = field(default_factory=LintSpec)
    vars: Mapping[str, str] = field(default_factory=dict)
    check_paths: tuple[Path, ...] = ()
    ignore: tuple[str, ...] = ()
    unavailable_here: Mapping[str, str] = field(default_factory=dict)
    whole: Manifest | None = None
    services: Mapping[str, ServiceSpec] = field(default_factory=dict)
    heartbeats: Mapping[str, HeartbeatSpec] = field(default_factory=dict)
    states: Mapping[str, StateSpec] = field(default_factory=dict)
    renamed: tuple[str, ...] = ()

    @property
    def watched(self) -> bool:
        """Whether there is something to examine on this machine besides models."""
        return bool(self.heartbeats or self.states)

    @property
    def directory(self) -> Path:
        """The directory that relative paths and runner globs start from."""
        return self.path.parent

    def model(self, name: str) -> ModelSpec:
        """Return the model of that name. Raises `UsageError` where there is none, or none on this machine."""
        found = self.models.get(name)
        if found is not None:
            return found
        shown = printable(name, limit=80)
        if name in self.services:
            raise UsageError(f"model '{shown}' is a service and has no directory")
        if name in self.unavailable_here:
            raise UsageError(f"model '{shown}' is not on this machine: {self.unavailable_here[name]}")
        near = nearest(name, [*self.models, *self.unavailable_here])
        hint = f"did you mean '{printable(near)}'?" if near else f"models: {join_limited(list(self.models)) or 'none'}"
        raise UsageError(f"no model '{shown}' in {printable(str(self.path))}; {hint}")

    def ignored_of_models(self) -> dict[str, tuple[str, ...]]:
        """Return the finding codes that are ignored of single models, by name."""
        found = {name: spec.ignore for name, spec in self.models.items() if spec.ignore}
        return {**found, **{name: spec.ignore for name, spec in self.services.items() if spec.ignore}}

    def model_for_base(self, spec: ModelSpec) -> ModelSpec | None:
        """Return the manifest model that is the base of `spec`: by name, or the one at the same location."""
        if spec.base_path is None:
            return self.models.get(spec.base) if spec.base is not None else None
        place = _place(spec.base_path)
        return next((m for m in self.models.values() if _place(m.path) == place and m.name != spec.name), None)

    @property
    def all_models_required(self) -> bool:
        """Whether every model is needed, because nothing says which machine needs which."""
        return self.whole is None and (not self.machines or not self.roles)

    def needed_roles(self) -> tuple[str, ...]:
        """Return the roles of this machine; every role where no machine matched."""
        return self.machine.roles if self.machine is not None else tuple(self.roles)

    def required_services(self) -> frozenset[str]:
        """Return the names of the services that this machine's roles name; every one where nothing says which."""
        if self.all_models_required:
            return frozenset(self.services)
        return frozenset(n for role in self.needed_roles() for n in self.roles[role].models if n in self.services)

    def required(self) -> frozenset[str]:
        """Return the names of the models this machine needs: those of its roles and the bases their adapters load.

        Without any `[machines]` or without any `[roles]` that is every model. Where machines exist and none
        matches this host, it is what all roles together need.
        """
        if self.all_models_required:
            return frozenset(self.models)
        return frozenset().union(*(self.loaded_by(self.roles[role]) for role in self.needed_roles()))

    def loaded_by(self, role: RoleSpec) -> frozenset[str]:
        """Return the names of the models of this machine that sessions of a role load, bases of adapters included."""
        places = {_place(m.path): m.name for m in self.models.values()}
        waiting = list(role.models)
        needed: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in needed or name not in self.models:
                continue
            needed.add(name)
            waiting.extend(self._loaded_with(self.models[name], places))
        return frozenset(needed)

    def _loaded_with(self, spec: ModelSpec, places: Mapping[object, str]) -> Iterator[str]:
        """Give the base of an adapter. A merged model needs its base and adapter to be rebuilt, not to run."""
        if spec.kind == "adapter" and spec.base is not None:
            yield spec.base if spec.base_path is None else places.get(_place(spec.base_path), "")


def _place(path: ModelPath) -> object:
    """Two models with the same place are the same files."""
    return (path.hub, path.revision) if path.hub is not None else path.path


def as_kind(text: str) -> ModelKind:
    """Return a kind already checked to be one."""
    return cast("ModelKind", text)
