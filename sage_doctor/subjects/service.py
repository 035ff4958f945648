"""One service under examination: a model that is reached over HTTP, and the models it stands in for."""

from __future__ import annotations

from collections.abc import Iterable

from sage_doctor.manifest.specs import Manifest, ServiceSpec
from sage_doctor.readers.tree import WITHOUT_TRANSFORMER, names_modules, read_modules
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.needs import shortage
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import format_bytes, printable, remember_secret


class Service:
    """A model of kind `service`. It has no directory, and nothing is built on it.

    `name` is the report's subject. `named` says whether a role of this machine, or the person who asked, names it;
    `stands_in_for` are the models of the run that ask it where memory is short.
    """

    kind = "service"

    def __init__(self, *, spec: ServiceSpec, host: Host, named: bool) -> None:
        self.name = spec.name
        self.spec = spec
        self.host = host
        self.named = named
        self.stands_in_for: list[Model] = []

    def __repr__(self) -> str:
        """Return what a debugger shows."""
        return f"Service({self.name!r}, {self.spec.url!r})"

    @property
    def required(self) -> bool:
        """Whether something of this machine needs it now: a role, or a model that there is no memory for."""
        return self.named or any(m.required and m.found and shortage(m) is not None for m in self.stands_in_for)

    @property
    def key(self) -> str | None:
        """The key to send: None where none is declared, empty where its variable is not set here."""
        if self.spec.api_key_env is None:
            return None
        key = self.host.environ.get(self.spec.api_key_env, "").strip(" ")  # a line end stays: clients refuse to send it
        remember_secret(key)
        return key


def why_not_loaded(model: Model) -> str | None:
    """Return why this model is not loaded, or None where it is.

    A service is asked instead where memory is short; and of a sentence-transformers model without a transformer, such
    as a table of vectors, transformers loads nothing.
    """
    if names_modules(model.tree):
        parts = [model.path / p for p, kind in read_modules(model.tree) if kind not in WITHOUT_TRANSFORMER]
        if all(inspect_path(p / "config.json").kind == "missing" for p in parts):
            return "none of its modules is a transformer; sentence-transformers loads it by itself"
        if any(m.path in parts for m in model.siblings.values()):
            return "its modules are examined by themselves"
    if model.served_by is None:
        return None
    short = shortage(model)
    if short is None:
        return None
    needed, free = format_bytes(short.needed), format_bytes(short.free)
    name = printable(model.served_by, limit=80)
    return f"memory is short (needs {needed}, {free} free): asked {name} instead"


def choose_services(
    manifest: Manifest, host: Host, asked: set[str] | None, chosen: Iterable[Model], deep: set[str]
) -> tuple[Service, ...]:
    """Return the services of a run: those asked for, else all, and those that stand in for models to be loaded."""
    named = manifest.required_services() if asked is None else asked
    found = {spec.name: Service(spec=spec, host=host, named=spec.name in named) for spec in manifest.services.values()}
    for model in chosen:
        service = found.get(model.spec.served_by or "") if model.spec is not None else None
        if service is not None and model.required and model.name in deep:
            model.served_by = service.name
            service.stands_in_for.append(model)
    return tuple(s for s in found.values() if asked is None or s.named or s.stands_in_for)
