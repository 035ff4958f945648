"""What the name of a variable, parameter, option or key says about the path in it: read, or written."""

from __future__ import annotations

import re

from sage_doctor.paths.find.reference import Need

_READ = frozenset(
    {
        "adapter", "adapters", "base", "bin", "binary", "config", "configuration", "dataset", "datasets", "encoder",
        "exe", "executable", "gguf", "input", "inputs", "interpreter", "lora", "loras", "model", "models", "peft",
        "processor", "program", "prompt", "python", "script", "source", "tokenizer", "venv", "vocab", "weights", "zoo",
        "corpus", "image", "images", "train", "val", "video", "videos",
    }
)  # fmt: skip
# What is named so is often made by the program itself, whatever else the name says: `model_output_dir`.
_WRITTEN = frozenset(
    {
        "artifact", "artifacts", "backup", "backups", "buffer", "cache", "caches", "checkpoint", "checkpoints", "ckpt",
        "database", "db", "dest", "destination", "dst", "dump", "dumps", "experiment", "experiments", "export",
        "exports", "fifo", "figure", "figures", "final",
        "hf", "history", "home", "inbox", "journal", "ledger", "lock", "log",
        "logdir", "logfile", "logging", "logs", "metrics", "new", "offload", "out", "outbox", "outdir", "outfile",
        "output", "outputs", "pid", "pidfile", "plot", "plots", "pythonpath", "record", "records", "recording",
        "report", "reports", "result", "results", "run", "runs", "save", "saved", "scratch", "sentinel", "snapshot",
        "snapshots", "socket", "spool", "state", "states", "status", "storage", "store", "summary", "target", "temp",
        "temporary", "tmp", "tmpdir", "trace", "traces", "transcript", "transcripts", "work", "workdir",
    }
)  # fmt: skip
_NAMING = frozenset({"alias", "endpoint", "route", "served", "uri", "url"})  # what is at such a place is no path
_FILE = re.compile(r"\.(?:json|jsonl|csv|txt|parquet|ya?ml|pt|bin|py)$")  # a file's name, not what it is for
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def need_of_name(name: str) -> Need:
    """Return what a name says: `created` before `needed`, because what a program makes may be named after its input."""
    found = {w.lower() for w in _WORD.findall(name)}
    if found & _NAMING or _FILE.search(name):
        return "unknown"
    data = "data" in found and found & {"path", "paths", "file", "files"}
    return "created" if found & _WRITTEN else "needed" if data or found & _READ else "unknown"


def strongest(found: set[Need]) -> Need:
    """Return what several uses of one path say together: what one of them makes or tests, the others may rely on."""
    order: tuple[Need, ...] = ("created", "optional", "needed")
    return next((need for need in order if need in found), "unknown")
