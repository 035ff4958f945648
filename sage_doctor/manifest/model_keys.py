"""The keys that describe models: `[models.X]`, and what a machine may say differently about one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from sage_doctor.manifest.key_table import Key, KeyTable


def requires(about: str, **more: Any) -> Key:
    """Return the key that lists packages."""
    return Key("requires", "requires", about, ["transformers>=4.45"], **more)


DESCRIPTION: Final = Key("description", "remark", "A remark for people.", "for the daily sessions")

BUDGET: Final = KeyTable(
    "budget",
    "budget",
    (
        Key("load_s", "number", "Seconds until the model is loaded, at most.", 30),
        Key("first_token_ms", "number", "Milliseconds from the prompt to the first token, at most.", 1500),
        Key("tokens_per_s", "number", "Tokens per second, at least.", 5),
        Key("peak_memory_gb", "number", "Memory at the peak in GB (10⁹ bytes), at most.", 6),
    ),
)
MERGE: Final = KeyTable(
    "merge",
    "merge",
    tuple(
        Key(name, "place", about, example=example, required="a model's name, a path or hf:org/name")
        for name, about, example in (
            ("base", "The base: a model's name, a path, or `hf:org/name`.", "qwen2.5-0.5b"),
            ("adapter", "The adapter: a model's name, a path, or `hf:org/name`.", "introspective-qwen-v2.1"),
        )
    ),
)
IGNORE: Final = Key(
    "ignore",
    "texts",
    "Finding codes, or the words that codes begin with, that are counted and no more.",
    pattern=r"[a-z0-9]+(-[a-z0-9]+)*",
    expected="a finding code such as 'weights-unverified', or the words that codes begin with",
    example=["weights-unverified"],
)
MODEL: Final = KeyTable(
    "[models.X]",
    "model",
    (
        Key(
            "kind",
            "choice",
            "`full`: complete, as published. `merged`: complete, made from a base and an adapter. `adapter`: "
            "needs a base to run. `service`: reached over HTTP.",
            choices=("full", "merged", "adapter", "service"),
            example="full",
            required="one of full (a base, too), merged, adapter (LoRA), service (Ollama, vLLM)",
        ),
        Key(
            "path",
            "place",
            "The model's directory, or `hf:org/name` or `hf:org/name@revision` in the local Hugging Face cache.",
            example="hf:Qwen/Qwen2.5-0.5B-Instruct",
            per_machine=True,
            only="directory",
            required="a directory or hf:org/name",
        ),
        Key(
            "base",
            "place",
            "What the model is built on: a model's name, a path, or `hf:org/name`. An adapter is loaded onto it.",
            example="./bases/qwen2.5-0.5b",
            per_machine=True,
            only="directory",
        ),
        Key("budget", "table", "What this model may cost.", table=BUDGET, example={"load_s": 30}, per_machine=True),
        Key(
            "dtype",
            "choice",
            "The number format to load in; `auto` takes the one of the model's config.",
            choices=("auto", "float32", "bfloat16", "float16"),
            example="bfloat16",
            default="auto",
            per_machine=True,
            only="directory",
        ),
        Key(
            "device",
            "text",
            "Where to load: `cpu`, `mps`, `cuda` or `cuda:N`. Without this key: the machine's accelerator.",
            pattern="cpu|mps|cuda(:[0-9]{1,3})?",
            expected="'cpu', 'mps', 'cuda' or 'cuda:N'",
            example="cuda:0",
            per_machine=True,
            only="directory",
        ),
        Key("prompt", "text", "What to ask when the model generates.", example="Who are you?", per_machine=True),
        Key(
            "max_new_tokens", "count", "How many tokens the answer may have.", example=32, default=32, per_machine=True
        ),
        Key(
            "served_by",
            "name",
            "The service that is asked when memory is too short to load this model.",
            example="sage-daemon",
            per_machine=True,
            only="directory",
        ),
        Key(
            "url",
            "place",
            "Where a service answers: `http://` or `https://`, host, port and optionally a path, with or without "
            "`/v1`.",
            pattern=r"^https?://|\{",
            example="http://127.0.0.1:8000",
            per_machine=True,
            only="service",
            required="where it answers",
        ),
        Key(
            "model",
            "text",
            "The name a service knows the model by. Without this key: its name here.",
            example="introspective-qwen",
            per_machine=True,
            only="service",
        ),
        Key(
            "merge",
            "table",
            'How a merged model is rebuilt, for `kind = "merged"`.',
            table=MERGE,
            example={"base": "qwen2.5-0.5b", "adapter": "introspective-qwen-v2.1"},
            only="directory",
        ),
        Key(
            "fallback",
            "name or names",
            "Models that `resolve()` gives a script when this one is not complete, in order; it logs a warning.",
            example=["introspective-qwen-v1"],
            only="directory",
            old="or",
        ),
        requires("Packages that sessions of this model need.", only="directory"),
        IGNORE,
        DESCRIPTION,
        Key(
            "api",
            "choice",
            "How a service is asked: `openai` (vLLM, llama.cpp, `transformers serve`, LM Studio and others) or "
            "`ollama`.",
            choices=("openai", "ollama"),
            example="ollama",
            default="openai",
            only="service",
        ),
        Key(
            "api_key_env",
            "text",
            "The name of the environment variable that holds a service's key; never the key itself.",
            pattern="[A-Za-z_][A-Za-z0-9_]*",
            expected="the name of an environment variable, not the key itself",
            example="SAGE_API_KEY",
            only="service",
            secret=True,
        ),
    ),
    marks=("kind", "path"),
)
OVERRIDE: Final = KeyTable(
    "[machines.X.models.Y]", "model", tuple(replace(key, required="") for key in MODEL.keys if key.per_machine)
)
