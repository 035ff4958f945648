"""What the programs of a command line do with their words: start, load, read or make what is there."""

from __future__ import annotations

import re

from sage_doctor.paths.find.shell_elsewhere import IMAGES

_STARTING = frozenset(
    {"sudo", "exec", "nohup", "env", "time", "nice", "ionice", "command", "timeout", "setsid", "stdbuf", "numactl"}
    | {"taskset", "xvfb-run", "srun", "mpirun", "mpiexec", "xargs", "chrt", "unbuffer", "screen", "caffeinate"}
)
_CONDAS = ("conda", "mamba", "micromamba")
RUNNING = re.compile(r"(?:python|pypy|bash|sh|dash|zsh|node|perl|ruby)[\d.]*")
LAUNCHING = frozenset(
    {"torchrun", "accelerate", "deepspeed", "uv", "poetry", "pixi", "pdm", "colossalai", "composer", *_CONDAS}
)
SCRIPT = re.compile(r"\.(?:py|sh)$")
WITH_VALUES = frozenset({"-m", "-c", "-W", "-X", "-o", "-e"})
SOURCING = frozenset({"source", "."})
ENTERING = frozenset({"cd", "pushd", *SOURCING})
READING = frozenset({"cat", "jq", "tar", "unzip", "gunzip", "zcat", "sort"})
CREATING = frozenset(
    {"mkdir", "touch", "rm", "rmdir", "tee", "mktemp", "truncate", "mkfifo", "install", "logger", "sqlite3", "wget"}
    | {"curl", "git", "dd", "chmod", "chown", "mount", "sshfs", "hf", "huggingface-cli", "modelscope"}
    | {"aria2c", "llama-quantize"}
)
_MAKING_OPTIONS = ("--local-dir", "--local_dir", "--prefix", "--target", "-o", "-d", "--outfile", "--outdir")
COPYING = frozenset({"cp", "mv", "ln", "rsync", "scp", "aws", "gsutil", "gcloud", "rclone", "s5cmd", "azcopy"})
LOOKING = frozenset({"ls", "find", "du", "df", "stat", "head", "tail", "grep", "wc", "which", "diff"})


def first_program(names: list[str]) -> int:
    """Return which word is the program that a command runs in the end: what a launcher passes on."""
    passed = next((i for i, n in enumerate(names) if i and (RUNNING.fullmatch(n) or SCRIPT.search(n))), None)
    if passed is not None and names[0] in _STARTING | LAUNCHING:
        return passed
    first = 0
    while first < len(names) and (names[first] in _STARTING or (first and re.match(r"-|\d|\w+=", names[first]))):
        first += 1
    return first


def is_started(program: str, texts: list[str], arguments: list[int], position: int) -> bool:
    """Return whether a word is what a launcher starts or a server loads."""
    if RUNNING.fullmatch(program):
        named = SCRIPT.search(texts[position]) is not None  # asked first: the words before it are many
        script = next((i for i in arguments if SCRIPT.search(texts[i])), None) if named else None
        return position == script or (arguments[:1] == [position] and texts[position - 1] not in WITH_VALUES)
    if texts[position].endswith(IMAGES):
        return not {"build", "pull"} & set(texts)
    if program.startswith("llama-") or texts[position].endswith(".gguf"):
        return texts[position - 1] in ("-m", "--model", "--lora", "--mmproj")
    if program in _CONDAS and texts[position - 1] in ("-p", "--prefix"):
        return "create" not in texts
    verbs = {"vllm": "serve", **dict.fromkeys(_CONDAS, "activate")}
    return len(arguments) > 1 and texts[arguments[0]] == verbs.get(program) and position == arguments[1]


def makes_what_follows(before: str) -> bool:
    """Return whether a command line, as far as a path in it, makes what is there."""
    words = re.split(r"[;&|\n]", before)[-1].split()
    while words and words[0] in _STARTING:
        words = words[1:]
    return bool(words) and (words[0].rpartition("/")[2] in CREATING or is_made(words))


def is_made(before: list[str]) -> bool:
    """Return whether a command makes what follows its first words: an environment, a build directory, a download."""
    words = [t.rpartition("/")[2] for t in before[:3]]
    last = before[-1:]
    if words[1:3] == ["-m", "venv"] or words[1:3] == ["-m", "virtualenv"] or words[:1] == ["virtualenv"]:
        return True
    if words[:2] == ["uv", "venv"] or (words[:1] == ["cmake"] and last in (["-B"], ["--build"], ["--install"])):
        return True
    if last == ["-p"]:
        return "create" in before or any(w.endswith(".sh") for w in words[:2])
    return bool(last) and last[0] in _MAKING_OPTIONS
