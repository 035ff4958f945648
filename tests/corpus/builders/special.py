"""Directories as hostile or as odd as a disk allows: pipes, sockets, devices, loops, modes, and names of any bytes."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from .case import Bench, Table
from .tensors import ADAPTER, INDEX, MODEL

TABLE = Table("special")
_UNREADABLE = ("weights-unreadable", "weights-missing", "weights-not-safetensors", "path-unreadable")


def _replaced(bench: Bench, name: str, stock: str = "llama") -> Path:
    path = bench.copy(stock) / name
    path.unlink()
    return path


@TABLE.error(*_UNREADABLE, shows="reads for ever")
def pipe_as_weights(bench: Bench) -> None:
    """Whoever opens it waits for a writer."""
    os.mkfifo(_replaced(bench, MODEL))


@TABLE.error("config-invalid", "config-missing", shows="reads for ever")
def pipe_as_config(bench: Bench) -> None:
    """Whoever opens it waits for a writer."""
    os.mkfifo(_replaced(bench, "config.json"))


@TABLE.error("shard-index-invalid", "shard-index-missing", *_UNREADABLE, shows="OSError: Error no file named")
def pipe_as_index(bench: Bench) -> None:
    """Whoever opens it waits for a writer."""
    os.mkfifo(_replaced(bench, INDEX, "llama-sharded"))


@TABLE.error("tokenizer-invalid", "tokenizer-missing", shows="reads for ever")
def pipe_as_tokenizer(bench: Bench) -> None:
    """Whoever opens it waits for a writer."""
    os.mkfifo(_replaced(bench, "tokenizer.json"))


@TABLE.error("adapter-config-invalid", "adapter-config-missing", shows="reads for ever")
def pipe_as_adapter_config(bench: Bench) -> None:
    """Whoever opens it waits for a writer."""
    os.mkfifo(_replaced(bench, "adapter_config.json", "lora"))


@TABLE.error(*_UNREADABLE, "adapter-weights-missing", shows="reads for ever")
def pipe_as_adapter_weights(bench: Bench) -> None:
    """Whoever opens it waits for a writer."""
    os.mkfifo(_replaced(bench, ADAPTER, "lora"))


@TABLE.error(*_UNREADABLE, shows="OSError: No such device or address")
def socket_as_weights(bench: Bench) -> None:
    """What a service left behind."""
    path = _replaced(bench, MODEL)
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's address holds 107 bytes, a path may hold more
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


@TABLE.error(*_UNREADABLE, root_only=True, shows="reads for ever")
def device_as_weights(bench: Bench) -> None:
    """/dev/zero under the name of the weights: it has no end."""
    os.mknod(_replaced(bench, MODEL), 0o644 | stat.S_IFCHR, os.makedev(1, 5))


@TABLE.error("config-invalid", "config-missing", root_only=True, shows="MemoryError")
def device_as_config(bench: Bench) -> None:
    """/dev/zero under the name of the configuration."""
    os.mknod(_replaced(bench, "config.json"), 0o644 | stat.S_IFCHR, os.makedev(1, 5))


@TABLE.error("config-invalid", "config-missing", shows="OSError: It looks like the config file … is not valid")
def directory_as_config(bench: Bench) -> None:
    """A directory of that name."""
    _replaced(bench, "config.json").mkdir()


@TABLE.error(*_UNREADABLE, shows="OSError: Error no file named model.safetensors")
def directory_as_weights(bench: Bench) -> None:
    """An archive was unpacked one level too deep."""
    _replaced(bench, MODEL).mkdir()


@TABLE.error("path-dangling-symlink", "weights-missing", "weights-unreadable", shows="OSError: Error no file named")
def weights_link_to_nothing(bench: Bench) -> None:
    """The weights lie on a disk that is not mounted."""
    _replaced(bench, MODEL).symlink_to("/mnt/not-mounted/model.safetensors")


@TABLE.error("path-dangling-symlink", "config-missing", "config-invalid", shows="ValueError: Unrecognized model in …")
def config_link_to_nothing(bench: Bench) -> None:
    """The configuration is a link that was not copied along."""
    _replaced(bench, "config.json").symlink_to("../originals/config.json")


@TABLE.error(*_UNREADABLE, "path-dangling-symlink", shows="OSError: Error no file named")
def weights_link_to_themselves(bench: Bench) -> None:
    """A loop of one."""
    _replaced(bench, MODEL).symlink_to(MODEL)


@TABLE.error("weights-unreadable", "path-unreadable", shows="PermissionError, but for root")
def weights_closed(bench: Bench) -> None:
    """Mode 0000: root reads them all the same, the session's user does not."""
    (bench.copy() / MODEL).chmod(0)


@TABLE.warning("weights-private-mode", root_only=True, shows="PermissionError for every user but their owner")
def weights_of_another_user(bench: Bench) -> None:
    """safetensors writes 0600, and root or a colleague did the writing."""
    path = bench.copy() / MODEL
    path.chmod(0o600)
    os.chown(path, 12345, 12345)


@TABLE.healthy()
def private_but_ours(bench: Bench) -> None:
    """0600 is what safetensors writes; the session's user is the owner."""
    (bench.copy() / MODEL).chmod(0o600)


@TABLE.healthy()
def read_only(bench: Bench) -> None:
    """0444 files in a 0555 directory: a zoo that nobody may change."""
    folder = bench.copy()
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)


@TABLE.healthy()
def links_that_go_round(bench: Bench) -> None:
    """A healthy model with a link back to its own directory below it."""
    folder = bench.copy()
    (folder / "previous").symlink_to(".")
    (folder / "up").symlink_to("..")


@TABLE.healthy(target="a model's $(name); with \u202e signs")
def name_for_a_shell(bench: Bench) -> None:
    """Spaces, quotes, a command and a right-to-left override in the name."""
    bench.copy(to=bench.here / "a model's $(name); with \u202e signs")


@TABLE.healthy(target="two\nlines\x1b[31m")
def name_of_two_lines(bench: Bench) -> None:
    """A line break and an escape sequence in the name."""
    bench.copy(to=bench.here / "two\nlines\x1b[31m")


@TABLE.healthy(target="caf\udce9")
def name_not_utf8(bench: Bench) -> None:
    """Latin-1 bytes in the name: a zoo from an old disk."""
    bench.copy(to=bench.here / "caf\udce9")


@TABLE.healthy(target="-l")
def name_like_an_option(bench: Bench) -> None:
    """A directory that is called `-l`."""
    bench.copy(to=bench.here / "-l")


@TABLE.error("weights-empty", shows="SafetensorError: header too small")
def extra_names_with_controls(bench: Bench) -> None:
    """An ill model beside whose weights lie files with names that would take over a terminal."""
    folder = bench.copy()
    (folder / MODEL).write_bytes(b"")
    for name in ("\x1b[2J.safetensors", "\x1b]8;;http:x\x07.py\x08\x08", "\u202efdp.bin", "caf\udce9.json"):
        (folder / name).write_bytes(b"x")
