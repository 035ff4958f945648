"""Which keys each table of the manifest knows. `schemas/manifest.schema.json` says the same for editors."""

from __future__ import annotations

from typing import Final

SCHEMA: Final = 1

KINDS: Final = ("full", "merged", "adapter", "service")
APIS: Final = ("openai", "ollama")
ACCELERATORS: Final = ("cuda", "mps", "cpu")
DTYPES: Final = ("auto", "float32", "bfloat16", "float16")

TOP: Final = (
    *("schema", "python", "accelerator", "requires", "vars", "budget", "machines", "roles", "models", "checks"),
    *("gate", "heartbeats", "state", "lint"),
)
BUDGET: Final = ("load_s", "first_token_ms", "tokens_per_s", "peak_memory_gb")
MACHINE: Final = ("match", "roles", "python", "accelerator", "requires", "home", "vars", "budget", "models")
MATCH: Final = ("hostname", "device_tree")
ROLE: Final = ("models", "runners", "accelerator", "max_age", "description")
# What a table may hold depends on whether the model lies in a directory or is reached over HTTP.
ONLY_DIRECTORY: Final = ("path", "base", "dtype", "device", "served_by", "merge", "or", "requires")
ONLY_SERVICE: Final = ("url", "model", "api", "api_key_env")
OVERRIDE: Final = ("path", "base", "budget", "dtype", "device", "prompt", "max_new_tokens", "served_by", "url", "model")
MODEL: Final = ("kind", *OVERRIDE, "merge", "or", "requires", "description", "api", "api_key_env")
MERGE: Final = ("base", "adapter")
CHECKS: Final = ("paths",)
GATE: Final = ("max_age", "timeout")
LINT: Final = ("paths", "ignore")
HEARTBEAT: Final = ("path", "max_age", "roles", "description")
STATE: Final = ("path", "counter", "at_least", "roles", "description")

BUILT_IN: Final = ("home", "machine", "manifest_dir")
