"""Where a model is said to lie: nothing there, another's home, a file, a link to nothing, or not for this user."""

from __future__ import annotations

import os
from pathlib import Path

from .case import Bench, Table, write_manifest
from .tensors import MODEL

TABLE = Table("paths", subject="m", manifest=True, in_tree=False)
_NOT_A_NAME = "HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name'"


def _at(bench: Bench, path: object) -> Path:
    write_manifest(bench.here, m=str(path))
    return bench.here


@TABLE.healthy()
def relative(bench: Bench) -> None:
    """Relative to the manifest, wherever the doctor is started."""
    bench.copy(to=_at(bench, "zoo/llama") / "zoo" / "llama")


@TABLE.healthy()
def through_links(bench: Bench) -> None:
    """A link to a link to the directory: zoos live on other disks."""
    folder = _at(bench, "zoo")
    (folder / "zoo").symlink_to("second")
    (folder / "second").symlink_to(bench.stock / "llama")


@TABLE.healthy()
def with_trailing_slash(bench: Bench) -> None:
    """As shells complete it."""
    _at(bench, f"{bench.stock}/./llama//")


@TABLE.error("path-missing", shows=_NOT_A_NAME)
def missing(bench: Bench) -> None:
    """Nothing there."""
    bench.copy(to=_at(bench, "zoo/lama") / "zoo" / "llama")


@TABLE.error("path-missing", shows=_NOT_A_NAME)
def other_case(bench: Bench) -> None:
    """`Llama` is there, `llama` is asked for: the same on a Mac, not here."""
    bench.copy(to=_at(bench, "zoo/llama") / "zoo" / "Llama")


@TABLE.error("path-foreign-home", shows=_NOT_A_NAME)
def another_home(bench: Bench) -> None:
    """The incident: the path of the machine it was written on."""
    _at(bench, "/home/sprout/ai-workspace/HRM/model-zoo/sage/qwen2.5-0.5b/introspective-qwen-merged")


@TABLE.error("path-foreign-home", shows=_NOT_A_NAME)
def another_home_of_a_mac(bench: Bench) -> None:
    """The home of somebody on a Mac."""
    _at(bench, "/Users/sprout/models/introspective-qwen-merged")


@TABLE.error("path-not-directory", shows="OSError: It looks like the config file … is not a valid JSON file")
def a_file(bench: Bench) -> None:
    """The weights themselves are named."""
    _at(bench, bench.stock / "llama" / MODEL)


@TABLE.error("path-not-directory", "path-missing", shows="NotADirectoryError or a repo id complaint")
def below_a_file(bench: Bench) -> None:
    """A path that goes on behind a file."""
    _at(bench, bench.stock / "llama" / MODEL / "model")


@TABLE.error("path-not-directory", shows="reads for ever")
def a_pipe(bench: Bench) -> None:
    """A named pipe, which blocks whoever opens it."""
    os.mkfifo(_at(bench, "pipe") / "pipe")


@TABLE.error("path-dangling-symlink", shows=_NOT_A_NAME)
def a_link_to_nothing(bench: Bench) -> None:
    """The disk is not mounted."""
    (_at(bench, "zoo") / "zoo").symlink_to("/mnt/not-mounted/zoo")


@TABLE.error("path-dangling-symlink", shows=_NOT_A_NAME)
def below_a_link_to_nothing(bench: Bench) -> None:
    """The link is on the way, not at the end."""
    (_at(bench, "zoo/llama") / "zoo").symlink_to("/mnt/not-mounted/zoo")


@TABLE.error("path-dangling-symlink", shows="OSError: Too many levels of symbolic links")
def a_link_to_itself(bench: Bench) -> None:
    """A loop of two links."""
    folder = _at(bench, "one")
    (folder / "one").symlink_to("two")
    (folder / "two").symlink_to("one")


@TABLE.error("path-unreadable", shows="PermissionError, but for root")
def closed(bench: Bench) -> None:
    """Mode 0000: root reads it all the same, the session's user does not."""
    folder = _at(bench, "zoo")
    bench.copy(to=folder / "zoo").chmod(0)


@TABLE.error("weights-missing", shows="ValueError: Unrecognized model in …")
def an_empty_directory(bench: Bench) -> None:
    """The declared directory was made, and nothing was ever copied into it."""
    (_at(bench, "zoo") / "zoo").mkdir()


@TABLE.error("path-missing", shows=_NOT_A_NAME)
def with_control_characters(bench: Bench) -> None:
    """A path that would clear the terminal."""
    _at(bench, "zoo/\x1b[2J\x1b]0;title\x07llama")
