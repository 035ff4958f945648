"""Words of a shell's commands that are no paths of this machine: other machines', containers', and patterns."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from sage_doctor.paths.find.shell_values import text_of

if TYPE_CHECKING:
    from tree_sitter import Node

_REMOTE = frozenset(
    {"ssh", "sshpass", "mosh", "sftp", "pdsh", "clush", "chroot", "nsenter", "bwrap", "wsl", "wsl.exe", "ch-run"}
    | {"shifter"}
)
_CONTAINERS = frozenset(
    {"docker", "docker-compose", "podman", "nerdctl", "kubectl", "apptainer", "singularity", "enroot", "flatpak"}
    | {
        "distrobox",
        "toolbox",
        "lxc",
        "incus",
        "oc",
        "finch",
        "buildah",
        "ctr",
        "crictl",
        "nvidia-docker",
        "udocker",
        "jetson-containers",
    }
    | {"sarus", "jetson-containers"}
)
ELSEWHERE = _REMOTE | _CONTAINERS  # what they are told to run, they run elsewhere
_WITHIN = frozenset({"run", "exec", "create", "start", "enter", "shell"})  # their arguments belong to the container
IMAGES = (".sif", ".simg", ".sqsh")  # files of this machine that hold a container
_HOST_OPTIONS = frozenset(
    {"-v", "--volume", "--mount", "--env-file", "--cidfile", "-i", "-F", "--label-file", "-B", "--bind"}
)
_NAMING = frozenset({"variable_assignment", "function_definition"})
_SEARCHING = frozenset({"grep", "egrep", "fgrep", "rg", "pgrep", "pkill"})
_SUBSTITUTION = re.compile(r"[\"']?(?:\d+|\$)?[sy]([|#,/@!%:+~]).*\1")
_IN_IMAGE = re.compile(r"--container-(?:image|name)\b")  # options of srun
_EXPANDED = re.compile(r"[\"']?\$\{?(\w+)(?:\[[@*]\])?\}?[\"']?")
_CONTAINER_HALF = re.compile(r"(?::|\b(?:target|dst|destination)=)\Z")


def names_for_elsewhere(nodes: Iterable[Node]) -> dict[str, str]:
    """Return the variables and functions of a script that hold or run what works elsewhere, each with a program.

    `DOCKER="docker run x"` is like `ssh`, and `DOCKER=(sudo docker)` like `docker`.
    """
    found: dict[str, str] = {}
    for node in nodes:
        text = text_of(node) if node.type in _NAMING else ""
        name, _, value = text.partition("=" if node.type == "variable_assignment" else "(")
        passed = node.type == "variable_assignment" or "$@" in text or "$*" in text
        name, value = name.removeprefix("function").strip().rstrip("+"), value.strip("\"'()")
        program = (value.split() or [""])[-1].rpartition("/")[2]
        if passed and runs_elsewhere(value):
            found[name] = "ssh"
        elif node.type == "variable_assignment" and program in ELSEWHERE:
            found[name] = program
    return found


def foreign_words(command: Node, elsewhere: Mapping[str, str]) -> Collection[int]:
    """Return the ids of a command's words that name nothing of this machine, whatever is at such a path here.

    `elsewhere` are the script's own names for what works elsewhere, with the programs that they are like.
    """
    words = [c for c in command.children if c.type != "variable_assignment"]
    texts = [text_of(w) for w in words]
    expanded = [m[1] if (m := _EXPANDED.fullmatch(t)) is not None else "" for t in texts]
    names = [t.strip("\"'").rpartition("/")[2] for t in texts]
    names[:1] = [elsewhere.get(expanded[i] or n, n) for i, n in enumerate(names[:1])]
    in_image = names[:1] == ["srun"] and any(
        _IN_IMAGE.match(t) or e in elsewhere for t, e in zip(texts, expanded, strict=True)
    )
    if in_image:
        return {w.id for w in words[1:]}
    program = next((i for i, n in enumerate(names) if n in ELSEWHERE), None)
    if program is not None and (names[program] in _REMOTE or _WITHIN & set(names[program + 1 : program + 3])):
        ours = {
            i
            for i, text in enumerate(texts)
            if i <= program
            or texts[i - 1] in _HOST_OPTIONS
            or text.partition("=")[0] in _HOST_OPTIONS
            or text.endswith(IMAGES)
        }
        return {w.id for i, w in enumerate(words) if i not in ours}
    if names[:1] in (["sed"], ["perl"]):
        return {w.id for w, text in zip(words, texts, strict=True) if _SUBSTITUTION.match(text)}
    if names and names[0] in _SEARCHING:
        return {w.id for w in [w for w, t in zip(words, texts, strict=True) if not t.startswith("-")][1:2]}
    return ()


def runs_elsewhere(before: str) -> bool:
    """Whether a command line, as far as a path in it, starts a program that works elsewhere."""
    words = [w.strip("\"'").rpartition("/")[2] for w in before.split()]
    elsewhere = any(w in _REMOTE or (w in _CONTAINERS and _WITHIN & set(words[i + 1 :])) for i, w in enumerate(words))
    return elsewhere or _IN_IMAGE.search(before) is not None


def binds(command: Node) -> bool:
    """Whether a command's words may be pairs of a path here and one elsewhere: `-v HERE:THERE`, `HOST:THERE`."""
    names = {text_of(c).rpartition("/")[2] for c in command.children}
    return bool(names & (_CONTAINERS | {"scp", "rsync"}))


def is_second_half(before: str) -> bool:
    """Whether what a path is preceded by makes it the part of a pair that is elsewhere."""
    return _CONTAINER_HALF.search(before) is not None
