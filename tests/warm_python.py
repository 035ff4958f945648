"""A program that does what Python does, in a fork of a process that has imported what takes long.

Importing torch, transformers and PEFT takes five seconds of a core, the doctor with every check a third of one, and a
test run would do both many times. What runs in a fork has its own arguments, environment, working directory, open
files, session and exit status; signals do not reach it, but it is killed once whoever started it is gone. Limits of the
starting shell, and options but -c, -m, -W and -I, have no effect; exit handlers do not run. A library that reads its
environment when it is imported has read the server's.

    python warm_python.py serve SOCKET OWNER MODULE[:FUNCTION]…     until the process OWNER is gone
    python -I -S warm_python.py run SOCKET EXECUTABLE WORDS…     EXECUTABLE is what it takes for its interpreter
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:  # the program itself starts a thousand times, and imports little
    import subprocess
    from pathlib import Path

_LENGTH = struct.Struct("=I")
_STATUS = struct.Struct("=i")
_MOST_FILES = 64
_OUT_OF_THE_WAY = 200  # above every descriptor that a program is started with


def warm_python(
    folder: Path, *modules: str, environ: Mapping[str, str], interpreter: str | Path = sys.executable
) -> Path:
    """Start a server that has imported `modules` and called `module:function`; returns the program, `folder/python`.

    It serves all workers of a test run, and ends soon after that. `interpreter` may be such a program itself.
    """
    import shlex
    import subprocess
    import tempfile

    folder.mkdir(parents=True)
    # The name of a socket has 100 bytes at the most, and a directory of tests may have more.
    place = os.path.join(tempfile.mkdtemp(prefix="warm-", dir="/tmp"), "socket")
    owner = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [interpreter, "-W", "ignore", __file__, "serve", place, str(owner), *modules],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert server.stdout is not None
    with server.stdout:
        ready = server.stdout.readline()
    server.returncode = 0  # it is not waited for: it may outlive this process
    assert ready == b"ready\n", (folder / "log").read_text(errors="replace")
    (folder / "socket").symlink_to(place)
    program = folder / "python"
    words = (sys.executable, "-I", "-S", __file__, "run", place, str(program))
    program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    program.chmod(0o755)
    return program


def run_warm(
    program: Path, words: Sequence[str | bytes], *, cwd: Path, env: Mapping[str, str], timeout_s: float = 60.0
) -> subprocess.CompletedProcess[bytes]:
    """Do what `subprocess.run([program, *words])` does, without a process of this one's."""
    import subprocess
    import tempfile

    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, open(os.devnull, "rb") as null:
        here = os.open(cwd, os.O_RDONLY)
        try:
            files = {0: null.fileno(), 1: out.fileno(), 2: err.fileno()}
            place = os.readlink(program.with_name("socket"))
            code = _hand_over(place, [sys.executable, *map(os.fsdecode, words)], env, here, files, timeout_s)
        except TimeoutError:
            raise subprocess.TimeoutExpired([program, *words], timeout_s) from None
        finally:
            os.close(here)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess([program, *words], code, out.read(), err.read())


# -- the server -------------------------------------------------------------------------------------------------------


def _serve(place: str, owner: int, modules: list[str]) -> None:
    """Import, then fork for each connection."""
    import gc
    import importlib
    import shutil

    del sys.path[0]  # this file's directory
    for module in modules:
        name, _, function = module.partition(":")
        found = importlib.import_module(name)
        if function:
            getattr(found, function)()
    gc.collect()
    gc.freeze()  # or the first collection of a fork copies every page that it shares with the others
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place)
        listening.listen(64)
        listening.settimeout(1.0)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        os.write(1, b"ready\n")
        os.dup2(0, 1)
        while _is_there(owner):
            with contextlib.suppress(TimeoutError):
                connection, _ = listening.accept()
                with connection:
                    if os.fork() == 0:
                        listening.close()
                        _answer(connection)
    shutil.rmtree(os.path.dirname(place), ignore_errors=True)


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _answer(connection: socket.socket) -> NoReturn:
    """Run what is asked for in another fork, and tell its status; kill it once nobody waits for that."""
    import threading

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    connection.settimeout(None)
    head, files, _, _ = socket.recv_fds(connection, _LENGTH.size, _MOST_FILES, socket.MSG_WAITALL)
    with connection.makefile("rb") as stream:
        asked = json.loads(stream.read(_LENGTH.unpack(head)[0]))
    pid = os.fork()
    if pid == 0:
        _become(asked, files)
    for file in files:
        os.close(file)

    def watch() -> None:
        connection.recv(1)
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        connection.sendall(_STATUS.pack(status))
    os._exit(0)


def _become(asked: dict[str, list[str]], files: list[int]) -> NoReturn:
    """Do what Python does. The first file is the working directory, the others are as numbered."""
    import fcntl

    os.setsid()
    os.fchdir(files[0])
    moved = [fcntl.fcntl(file, fcntl.F_DUPFD, _OUT_OF_THE_WAY) for file in files[1:]]
    os.closerange(0, _OUT_OF_THE_WAY)
    for number, file in zip(asked["numbers"], moved, strict=True):
        os.dup2(file, int(number))
    os.closerange(_OUT_OF_THE_WAY, _OUT_OF_THE_WAY + 2 * _MOST_FILES)
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        mode, errors = "w" if descriptor else "r", "backslashreplace" if descriptor == 2 else "surrogateescape"
        stream = None
        with contextlib.suppress(OSError):
            stream = open(descriptor, mode, encoding="utf-8", errors=errors, buffering=1, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
    os.environ.clear()
    os.environ.update(zip(asked["names"], asked["values"], strict=True))
    code = 1
    try:
        _run(asked["words"])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 - as the interpreter itself
        import traceback

        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except OSError:
            code = code or 120
    os._exit(code)


def _run(words: list[str]) -> None:
    """Run a script, a module or code."""
    import runpy
    import warnings

    sys.executable = words.pop(0)
    isolated = False
    while words and words[0].startswith("-") and words[0] not in ("-c", "-m"):
        option = words.pop(0)
        isolated |= option == "-I"
        if option == "-W":
            warnings.simplefilter(words.pop(0))  # type: ignore[arg-type]
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in os.environ
    if not isolated:
        sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    kind = words.pop(0) if words[0] in ("-c", "-m") else None
    sys.argv[:] = [kind or words[0], *words[1:]]
    if kind is None:
        sys.path.insert(0, os.path.dirname(os.path.abspath(words[0])))
        runpy.run_path(words[0], run_name="__main__")
        return
    if not isolated:
        sys.path.insert(0, "" if kind == "-c" else os.getcwd())
    if kind == "-m":
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    else:
        exec(compile(words[0], "<string>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})


# -- the program ------------------------------------------------------------------------------------------------------


def _ask(place: str, words: list[str]) -> NoReturn:
    """Hand over what this process was started with, and end as that ends. The first word is the interpreter."""
    numbers = []
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):
            if os.get_inheritable(int(name)):
                numbers.append(int(name))
    code = _hand_over(place, words, os.environ, os.open(".", os.O_RDONLY), dict(zip(numbers, numbers, strict=True)))
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _hand_over(
    place: str,
    words: list[str],
    environ: Mapping[str, str],
    here: int,
    files: Mapping[int, int],
    timeout_s: float | None = None,
) -> int:
    """Let a fork of the server run these words, the first of which is its interpreter, with descriptors as numbered.

    Returns the code as `Popen` does.
    """
    asked = {
        "words": words,
        "names": list(environ),
        "values": list(environ.values()),
        "numbers": list(map(str, files)),
    }
    data = json.dumps(asked).encode("ascii")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s)
        connection.connect(place)
        socket.send_fds(connection, [_LENGTH.pack(len(data))], [here, *files.values()])
        connection.sendall(data)
        said = connection.recv(_STATUS.size)
    if len(said) < _STATUS.size:
        raise ConnectionError(f"{place}: the server is gone")
    return os.waitstatus_to_exitcode(_STATUS.unpack(said)[0])


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve(sys.argv[2], int(sys.argv[3]), sys.argv[4:])
    else:
        _ask(sys.argv[2], sys.argv[3:])
