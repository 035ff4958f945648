"""The host a run happens on: its facts, read once and lazily, and the places where models may lie."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.facts.machine import MachineFacts, read_machine
from sage_doctor.facts.packages import Inspection, InterpreterFacts, start_inspection
from sage_doctor.facts.wholeness import directory_defects
from sage_doctor.manifest.specs import Manifest
from sage_doctor.readers.tree import find_model_directories, read_tree
from sage_doctor.readers.versions import read_requirement
from sage_doctor.system.frozen import frozen
from sage_doctor.system.mounts import MountTable, read_mounts
from sage_doctor.system.state_directory import state_directory

if TYPE_CHECKING:
    from sage_doctor.facts.hub_cache import CachedModel
    from sage_doctor.facts.kernel_log import KernelLog

HISTORY = "history.sqlite3"  # in the state directory
MOST_NEIGHBOURS = 200
MOST_DIRECTORIES = 5000
_MOST_RUNNERS = 50  # of one pattern


@frozen
class Host:
    """Everything about the machine that checks may ask for. Nothing is read before it is asked for.

    `root` is the directory examined where there is no manifest. `history_enabled` is whether a history may be kept.
    """

    cwd: Path
    home: Path
    environ: Mapping[str, str] = field(repr=False)
    manifest: Manifest | None = None
    root: Path | None = None
    history_enabled: bool = True

    @property
    def name(self) -> str:
        """The manifest's name for this machine, else its hostname."""
        matched = self.manifest.machine if self.manifest else None
        return matched.name if matched else self.machine.hostname

    @cached_property
    def machine(self) -> MachineFacts:
        """Memory, devices and kernel as `/proc` and `/dev` state them."""
        return read_machine()

    @cached_property
    def kernel_log(self) -> KernelLog:
        """What the kernel's log says of an NVIDIA GPU since this boot."""
        from sage_doctor.facts.kernel_log import read_kernel_log  # noqa: PLC0415 - most machines have no such GPU

        return read_kernel_log()

    @cached_property
    def mounts(self) -> MountTable:
        """What is mounted here, and what should be."""
        return read_mounts()

    @cached_property
    def hub_cache_dir(self) -> Path:
        """The Hugging Face cache that a session would use."""
        from sage_doctor.facts.hub_cache import cache_root  # noqa: PLC0415 - most runs never ask the cache, and need no time for it

        return cache_root(self.environ, self.home)

    @cached_property
    def cache_dir(self) -> Path:
        """The directory in which contents already read are remembered."""
        from sage_doctor.system.state_directory import cache_directory  # noqa: PLC0415 - likewise

        return cache_directory(self.environ, self.home)

    @property
    def hash_cache(self) -> Path:
        """The file that remembers hashes."""
        from sage_doctor.system.state_directory import hash_cache  # noqa: PLC0415 - likewise

        return hash_cache(self.environ, self.home)

    @property
    def history_file(self) -> Path | None:
        """The file of the history of runs; None for directories without a manifest, and where it is switched off."""
        if self.manifest is None or self.root is not None or not self.history_enabled:
            return None
        return state_directory(self.environ, self.home) / HISTORY

    @cached_property
    def cached_models(self) -> tuple[CachedModel, ...]:
        """What that cache holds."""
        from sage_doctor.facts.hub_cache import list_cached_models  # noqa: PLC0415 - likewise

        return list_cached_models(self.hub_cache_dir)

    @cached_property
    def adapter_loads(self) -> tuple[tuple[Path, str, str], ...]:
        """Script, base and adapter, as its code names them, where a runner loads an adapter onto one base.

        All runners of the manifest count, whatever was asked for; one that may be given another base says nothing.
        """
        from sage_doctor.launchers.code import Code  # noqa: PLC0415
        from sage_doctor.launchers.uses import models_loaded  # noqa: PLC0415
        from sage_doctor.system.globbing import glob_files  # noqa: PLC0415 - only where a base is sought

        if self.manifest is None:
            return ()
        manifest = self.manifest.whole or self.manifest
        patterns = dict.fromkeys(pattern for role in manifest.roles.values() for pattern in role.runners)
        scripts = [s for p in patterns for s in glob_files(p, manifest.directory)[:_MOST_RUNNERS]]
        roots = (manifest.directory,)
        return tuple(
            (script, use.bases[0], use.texts[0])
            for script in dict.fromkeys(scripts)
            for use in models_loaded(script, Code(), home=self.home, roots=roots, defaults_hold=False)
            if use.known and len(use.texts) == 1 and len(use.bases) == 1
        )

    @property
    def python(self) -> Path | None:
        """The sessions' interpreter, or None for the doctor's own."""
        if self.manifest is None:
            return None
        return self.manifest.python

    @property
    def accelerator(self) -> str | None:
        """What sessions must run on, where that is declared: by the machine, else by the roles it has."""
        if self.manifest is None:
            return None
        if self.manifest.accelerator:
            return self.manifest.accelerator
        roles = (self.manifest.roles[r] for r in self.manifest.needed_roles())
        return next((r.accelerator for r in roles if r.accelerator), None)

    @cached_property
    def _inspection(self) -> Inspection:
        return start_inspection(self.python, also=self._required_packages())

    def _required_packages(self) -> list[str]:
        if self.manifest is None:
            return []
        listed = [*self.manifest.requires, *(r for m in self.manifest.models.values() for r in m.requires)]
        return [needed.name for text in listed if (needed := read_requirement(text)) is not None]

    def start_inspection(self) -> None:
        """Begin to ask the sessions' interpreter for its packages, so that the answer is there when needed."""
        _ = self._inspection

    @cached_property
    def session(self) -> InterpreterFacts:
        """The sessions' interpreter and its packages."""
        return self._inspection.result()

    @property
    def other_homes(self) -> tuple[str, ...]:
        """The homes of the manifest's other machines."""
        if self.manifest is None:
            return ()
        ours = self.manifest.machine
        return tuple(m.home for m in self.manifest.machines.values() if m.home and m is not ours)

    @cached_property
    def roots(self) -> tuple[Path, ...]:
        """Directories under which models of this host are likely to lie, for looking after a missing one."""
        found: dict[Path, None] = {}
        if self.manifest is not None:
            found[self.manifest.directory] = None
            found.update(dict.fromkeys(Path(v) for v in self.manifest.vars.values() if v.startswith("/")))
        if self.root is not None:
            found[self.root] = None
            found[self.root.parent] = None
        found[self.cwd] = None
        for name in ("models", "model-zoo", "ai-workspace"):
            found[self.home / name] = None
        return tuple(r for r in found if r != Path("/") and os.path.isdir(r))

    @cached_property
    def nearby_models(self) -> tuple[Path, ...]:
        """Model directories below `roots`, as candidates for a missing one. The search is bounded."""
        found: dict[Path, None] = {}
        for root in self.roots:
            if root in (self.home, Path("/")):
                continue
            for path in find_model_directories(root, most_directories=MOST_DIRECTORIES):
                found[path] = None
                if len(found) >= MOST_NEIGHBOURS:
                    return tuple(found)
        return tuple(found)

    @cached_property
    def whole_nearby_models(self) -> tuple[Path, ...]:
        """Those of `nearby_models` that are no adapters and lack nothing: what a missing base may be."""
        return tuple(
            p
            for p in self.nearby_models
            if not (tree := read_tree(p)).has("adapter_config.json") and not directory_defects(tree)
        )
