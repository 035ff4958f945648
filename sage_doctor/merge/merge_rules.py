"""The rules of a merge that an adapter's configuration states, and the options that make a merge impossible.

They are those of peft 0.21: which option changes the result, and which cannot be merged into weights at all.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from sage_doctor.facts.adapter_coverage import auto_peft_class, is_targeted, with_default_targets
from sage_doctor.facts.adapter_patterns import AdapterPatterns, UnboundedPattern
from sage_doctor.facts.adapter_problems import config_problem
from sage_doctor.facts.adapters import MUTATING_INITS, UNMERGEABLE, AdapterConfig
from sage_doctor.facts.config import read_config_facts
from sage_doctor.facts.library_source import learns_a_prompt
from sage_doctor.merge.refusal import MergeRefused, refused
from sage_doctor.system.frozen import frozen
from sage_doctor.system.own_python import own_packages
from sage_doctor.text import printable, shell_quote

MERGEABLE = ("LORA", "TRAINABLE_TOKENS")
# Options that change how a LoRA is computed; each is off if absent, false or empty.
_OTHER_VARIANTS = {
    "alora_invocation_tokens": "an activated LoRA works only after its invocation tokens",
    "arrow_config": "Arrow chooses among adapters for every token",
    "use_bdlora": "block-diagonal LoRA",
    "velora_config": "VeLoRA",
    "monteclora_config": "MonteCLoRA samples its weights",
    "kasa_config": "KaSA",
    "use_qalora": "QA-LoRA pools its input",
    "megatron_config": "Megatron's parallel layers",
}


@frozen
class MergeRules:
    """How an adapter's tensors are applied."""

    peft_type: str
    values: Mapping[str, Any]
    patterns: AdapterPatterns

    def ask(self, modules: Iterable[str]) -> None:
        """Match the configuration's patterns against all these modules together.

        Raises `MergeRefused` where that takes too long.
        """
        try:
            self.patterns.ask(modules)
        except UnboundedPattern as error:
            raise MergeRefused(
                "adapter-pattern-unbounded", str(error), "Name the modules in adapter_config.json without repetitions."
            ) from error
        if self.patterns.broken is not None:
            field, pattern = self.patterns.broken
            raise refused(
                f"adapter_config.json: {field}: {printable(pattern, limit=120)!r} is not a regular expression",
                "Restore the adapter's configuration.",
            )

    def for_base(self, config: Mapping[str, Any]) -> MergeRules:
        """Return the rules for a base with this configuration: it decides what is adapted where none is named."""
        values = with_default_targets(self.values, own_packages(), read_config_facts(config).model_type)
        return self if values is self.values else replace(self, values=values, patterns=AdapterPatterns(values))

    def flag(self, name: str) -> bool:
        """Return whether an option is on."""
        return bool(self.values.get(name))

    def is_before(self, *release: int) -> bool:
        """Return whether a peft before this release saved the adapter: those before 0.18 do not say which they are."""
        said = re.match(r"(\d+)\.(\d+)", str(self.values.get("peft_version")))
        return said is None or (int(said[1]), int(said[2])) < release

    def is_variant(self, init: str) -> bool:
        """Return whether the adapter was initialised in a way that PEFT merges by an arithmetic of its own."""
        return bool(self.values.get("init_lora_weights") == init)

    def scaling(self, module: str, rank: int) -> float:
        """Return what the product of a module's matrices is multiplied with.

        `rank` is the one its matrices have. Raises `MergeRefused` if the configuration states another: then
        configuration and weights come from two trainings, and neither is known to be right.
        """
        stated = self.rank(module)
        if stated != rank:
            raise refused(
                f"the adapter's matrices for {printable(module)} have rank {rank}, its configuration states "
                f"{printable(str(stated))}",
                "Restore the configuration that belongs to these weights.",
            )
        alpha = self._pattern("alpha_pattern", module, self.values.get("lora_alpha", 8))
        if type(alpha) not in (int, float):
            raise refused("lora_alpha is not a number", "Restore the configuration that belongs to these weights.")
        return float(alpha / math.sqrt(rank) if self.flag("use_rslora") else alpha / rank)

    def rank(self, module: str) -> int:
        """Return the rank that the configuration states for a module."""
        stated = self._pattern("rank_pattern", module, self.values.get("r", 8))
        if type(stated) is not int:
            raise refused("rank_pattern holds what is no whole number", "Restore the adapter's configuration.")
        return stated

    def _pattern(self, field: str, module: str, default: Any) -> Any:
        """Return what the first matching pattern of `rank_pattern` or `alpha_pattern` says, as PEFT looks it up."""
        pattern = self.patterns.first(field, module)
        return default if pattern is None else self.values[field][pattern]

    def targets(self, module: str) -> bool:
        """Return whether PEFT would put a LoRA on this module, as far as the configuration alone tells."""
        return is_targeted(self.values, self.patterns, module)

    def names_target(self, module: str) -> bool:
        """Return whether the configuration's own list of modules names this one: PEFT surely puts a LoRA on it."""
        return isinstance(self.values.get("target_modules"), list) and self.targets(module)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The bare parameters that the configuration targets."""
        wanted = self.values.get("target_parameters")
        return tuple(w for w in wanted if isinstance(w, str)) if isinstance(wanted, list) else ()

    def targets_parameter(self, name: str) -> bool:
        """Return whether PEFT would put a LoRA on this parameter."""
        return self.patterns.matches("target_parameters", name)

    def saves_whole(self, module: str) -> bool:
        """Return whether `modules_to_save` names this module: it was trained apart from what it is tied to."""
        names = self.values.get("modules_to_save")
        return isinstance(names, list) and any(module == n or f".{n}." in f".{module}." for n in names)


def read_rules(config: AdapterConfig) -> MergeRules:
    """Return what `adapter_config.json` asks for. Raises `MergeRefused` where it cannot be merged faithfully."""
    if config.values is None:
        reason = "missing" if config.file.missing else config.file.problem
        raise refused(f"{config.file.where}: {printable(reason)}", "Restore the adapter's configuration.")
    if config.peft_type is None:
        raise refused(
            "adapter_config.json names no peft_type: it is not the configuration of an adapter of PEFT",
            f"See what this directory is: `sage-doctor check {shell_quote(os.path.dirname(config.file.path))}`",
        )
    for obstacle in _obstacles(config, config.values):
        raise obstacle
    return MergeRules(peft_type=config.peft_type, values=config.values, patterns=config.patterns)


def by_peft(values: Mapping[str, Any], adapter: str | os.PathLike[str], options: str = "") -> str:
    """Return the command with which PEFT merges an adapter's directory into a directory `merged`, and what it costs.

    `options` are further arguments of the load.
    """
    program = (
        f"import sys, peft; model = peft.{auto_peft_class(values)}.from_pretrained(sys.argv[1], torch_dtype='auto'"
        f"{options}); model.merge_and_unload().save_pretrained(sys.argv[2])"
    )
    return (
        f'python -c "{program}" {shell_quote(adapter)} merged\n'
        "That needs memory for the whole model and does not copy the tokenizer."
    )


def _obstacles(config: AdapterConfig, values: Mapping[str, Any]) -> Iterator[MergeRefused]:
    kind = printable(str(config.peft_type), limit=40)
    if config.peft_type in UNMERGEABLE or learns_a_prompt(own_packages(), config.peft_type or ""):
        yield refused(
            f"an adapter of type {kind} changes the input or the routing, so there is nothing to merge into weights"
        )
    elif config.peft_type not in MERGEABLE:
        yield refused(
            f"sage-doctor merges adapters of type {' and '.join(MERGEABLE)}; this one is of type {kind}",
            "Run sessions on base and adapter together, or merge it with PEFT, which supports most types:\n"
            f"{by_peft(values, os.path.dirname(config.file.path))}",
        )
    problem = config_problem(config, own_packages())
    if problem:
        yield refused(f"{config.file.where}: {printable(problem)}", "Restore the adapter's configuration.")
    if isinstance(values.get("enable_lora"), list):
        yield refused(
            "the adapter's matrices are those of a MergedLinear layer of PEFT 0.2 (enable_lora), which no later "
            "release has",
            "Merge it with the release that it was trained with, in an environment of its own.",
        )
    if values.get("layer_replication"):
        yield refused("the adapter repeats layers of its base (layer_replication): shared weights would be corrupted")
    for field, why in _OTHER_VARIANTS.items():
        if values.get(field):
            yield refused(f"the adapter's configuration sets {field}: {why}, which sage-doctor does not merge")
    init = (config.init or "").lower()
    if init.startswith(MUTATING_INITS):
        yield _of_changed_base(config, init)


def _of_changed_base(config: AdapterConfig, init: str) -> MergeRefused:
    """Return the refusal of an adapter that was not trained on its base's own weights, as peft 0.21 loads it."""
    what = f"the adapter was initialised with {printable(init, limit=40)}"
    convert = (
        "Save it in its training run with path_initial_model_for_weight_conversion, which makes it a plain LoRA, and "
        "merge that."
    )
    if init in ("pissa", "olora"):
        return refused(
            f"{what}: each load subtracts a part of the base's weights from them before it adds the adapter, which "
            "sage-doctor does not compute",
            f"Merge it with PEFT, which does:\n{by_peft(config.values or {}, os.path.dirname(config.file.path))}",
        )
    if init.startswith("pissa"):
        return refused(
            f"{what}, a decomposition with random numbers: each load subtracts something else from the base's weights, "
            "so base and adapter do not give what was trained",
            convert,
        )
    if init.startswith("corda"):
        return refused(f"{what}: PEFT cannot load it without the covariances of its training run", convert)
    return refused(f"{what}: it was trained on changed weights of the base, which are not stored with it", convert)
