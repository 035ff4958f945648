"""Every way in which Python programs name a path that the tests know, with what each is and how it is written anew.

`S` is the checkout on the other machine. In `write`, None is left alone; a `?` in front says that it is only suggested.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

S = "/home/sprout/ai-workspace/HRM"
PREAMBLE = '''"""A session of the primary track, made on sprout: /home/sprout/ai-workspace/HRM."""

from __future__ import annotations

import argparse
import logging
import os
import platform
import shutil
import socket
import subprocess
import sys
from pathlib import Path

HRM_ROOT = Path(__file__).resolve().parents[3]
'''


@dataclass(frozen=True)
class Form:
    """One form: statements, the class that each path in them must get, and what the paths become."""

    name: str
    source: str
    expected: tuple[str, ...]
    write: str | None = None

    @property
    def text(self) -> str:
        return PREAMBLE + textwrap.dedent(self.source).replace("$S", S).strip("\n") + "\n"


def _form(name: str, source: str, *expected: str, write: str | None = None) -> Form:
    return Form(name, source, expected or ("mappable",), write)


FORMS = [
    _form("literal", 'MODEL = "$S/zoo/m"', write='MODEL = str(HRM_ROOT / "zoo/m")'),
    _form("single quotes", "MODEL = '$S/zoo/m'", write="MODEL = str(HRM_ROOT / 'zoo/m')"),
    _form("raw", 'MODEL = r"$S/zoo/m"', write='MODEL = str(HRM_ROOT / "zoo/m")'),
    _form("triple quotes", 'MODEL = """$S/zoo/m"""', write='MODEL = str(HRM_ROOT / "zoo/m")'),
    _form("escapes", r'MODEL = "\x2fhome/sprout/ai-workspace/HRM/zoo/m"', write='MODEL = str(HRM_ROOT / "zoo/m")'),
    _form("implicit joining", 'MODEL = ("$S/"\n         "zoo/m")', write='MODEL = (str(HRM_ROOT / "zoo/m"))'),
    _form("the root itself", 'ROOT = "$S"', write="ROOT = str(HRM_ROOT)"),
    _form("slash at the end", 'MODEL = "$S/zoo/m/"', write="MODEL = f\"{HRM_ROOT / 'zoo/m'}/\""),
    _form("annotated", 'MODEL: str = "$S/zoo/m"', write='MODEL: str = str(HRM_ROOT / "zoo/m")'),
    _form("Path", 'MODEL = Path("$S/zoo/m")', write='MODEL = HRM_ROOT / "zoo/m"'),
    _form("Path of the root", 'ROOT = Path("$S")', write="ROOT = HRM_ROOT"),
    _form("Path of parts", 'MODEL = Path("$S", "zoo", "m")', write='MODEL = HRM_ROOT / "zoo/m"'),
    _form("Path divided", 'MODEL = Path("$S") / "zoo" / "m"', write='MODEL = HRM_ROOT / "zoo/m"'),
    _form("Path from /home", 'M = Path("/home") / "sprout" / "ai-workspace/HRM/zoo/m"', write='M = HRM_ROOT / "zoo/m"'),
    _form("Path joined", 'MODEL = Path("$S").joinpath("zoo", "m")', write='MODEL = HRM_ROOT / "zoo/m"'),
    _form("Path with a rest", 'p = Path("$S/zoo") / sys.argv[0]', write='p = (HRM_ROOT / "zoo") / sys.argv[0]'),
    _form("Path read", 't = Path("$S/zoo/m").read_text()', write='t = (HRM_ROOT / "zoo/m").read_text()'),
    _form("Path as text", 'MODEL = str(Path("$S") / "zoo/m")', write='MODEL = str(HRM_ROOT / "zoo/m")'),
    _form("os.path.join", 'MODEL = os.path.join("$S", "zoo", "m")', write='MODEL = str(HRM_ROOT / "zoo/m")'),
    _form(
        "os.path.join with a rest",
        'p = os.path.join("$S", sys.argv[0])',
        write="p = os.path.join(str(HRM_ROOT), sys.argv[0])",
    ),
    _form("os.path.abspath", 'p = os.path.abspath("$S/zoo/m")', write='p = os.path.abspath(str(HRM_ROOT / "zoo/m"))'),
    _form("Path resolved", 'p = Path("$S/zoo/m").resolve()', write='p = (HRM_ROOT / "zoo/m").resolve()'),
    _form("joined by +", 'MODEL = "$S" + "/zoo/m"', write='MODEL = str(HRM_ROOT / "zoo/m")'),
    _form("+ and a rest", 'p = "$S/zoo/" + sys.argv[0]', write="p = f\"{HRM_ROOT / 'zoo'}/\" + sys.argv[0]"),
    _form("sys.path.insert", 'sys.path.insert(0, "$S")', write="sys.path.insert(0, str(HRM_ROOT))"),
    _form("sys.path.append", 'sys.path.append("$S/zoo")', write='sys.path.append(str(HRM_ROOT / "zoo"))'),
    _form("os.environ", 'os.environ["ZOO"] = "$S/zoo"', write='os.environ["ZOO"] = str(HRM_ROOT / "zoo")'),
    _form(
        "os.environ.get",
        'z = os.environ.get("ZOO", "$S/zoo")',
        write='z = os.environ.get("ZOO", str(HRM_ROOT / "zoo"))',
    ),
    _form("os.chdir", 'os.chdir("$S")', write="os.chdir(str(HRM_ROOT))"),
    _form("open", 'f = open("$S/zoo/m")', write='f = open(str(HRM_ROOT / "zoo/m"))'),
    _form("keyword", 'f = open(file="$S/zoo/m")', write='f = open(file=str(HRM_ROOT / "zoo/m"))'),
    _form("dict value", 'c = {"model": "$S/zoo/m"}', write='c = {"model": str(HRM_ROOT / "zoo/m")}'),
    _form("list", 'c = ["--model", "$S/zoo/m"]', write='c = ["--model", str(HRM_ROOT / "zoo/m")]'),
    _form("default of a parameter", 'def f(p="$S/zoo/m"): ...', write='def f(p=str(HRM_ROOT / "zoo/m")): ...'),
    _form("or", 'm = os.getenv("M") or "$S/zoo/m"', write='m = os.getenv("M") or str(HRM_ROOT / "zoo/m")'),
    _form(
        "attribute of a class",
        'class A:\n    m: str = "$S/zoo/m"',
        write='class A:\n    m: str = str(HRM_ROOT / "zoo/m")',
    ),
    _form("in a function", 'def f():\n    return "$S/zoo/m"', write='def f():\n    return str(HRM_ROOT / "zoo/m")'),
    _form("beside other letters", 'x = "é", "$S/zoo/m"', write='x = "é", str(HRM_ROOT / "zoo/m")'),
    _form("subprocess", 'subprocess.run(["ls", "$S/zoo"])', write='subprocess.run(["ls", str(HRM_ROOT / "zoo")])'),
    _form(
        "a file that will be",
        'log = open("$S/zoo/new.log", "a")',
        write='?log = open(str(HRM_ROOT / "zoo/new.log"), "a")',
    ),
    _form("blanks", 'MODEL = "$S/my zoo/m"', write='MODEL = str(HRM_ROOT / "my zoo/m")'),
    _form("a blank at the end", 'MODEL = "$S/my zoo"', write='MODEL = str(HRM_ROOT / "my zoo")'),
    _form("blanks in a Path", 'MODEL = Path("$S") / "my zoo"', write='MODEL = HRM_ROOT / "my zoo"'),
    # only suggested
    _form("blanks in an f-string", 'p = f"$S/my zoo/{os.sep}"', write='?p = f"{HRM_ROOT}/my zoo/{os.sep}"'),
    _form("blanks in bytes", 'p = b"$S/my zoo/m"'),
    _form("blanks in a format", 'p = "$S/my zoo/{}".format(1)'),
    _form(
        "argparse",
        'a = argparse.ArgumentParser()\na.add_argument("-m", default="$S/zoo/m")\nz = a.parse_args([]).m',
        write='?a = argparse.ArgumentParser()\na.add_argument("-m", default=str(HRM_ROOT / "zoo/m"))\n'
        "z = a.parse_args([]).m",
    ),
    _form(
        "argparse of a Path",
        'a = argparse.ArgumentParser(); a.set_defaults(m=Path("$S/zoo/m"))\nz = a.parse_args([]).m',
        write='?a = argparse.ArgumentParser(); a.set_defaults(m=HRM_ROOT / "zoo/m")\nz = a.parse_args([]).m',
    ),
    _form("f-string", 'p = f"$S/zoo/{os.sep}"', write='?p = f"{HRM_ROOT}/zoo/{os.sep}"'),
    _form("f-string of single quotes", "p = f'$S/zoo/{os.sep}'", write="?p = f'{HRM_ROOT}/zoo/{os.sep}'"),
    _form("f-string that is raw", 'p = rf"$S/zoo/{os.sep}\\d"', write='?p = rf"{HRM_ROOT}/zoo/{os.sep}\\d"'),
    _form(
        "f-string in parts",
        'p = (f"$S/zoo/{os.sep}"\n     f"{os.sep}x:$S/sage")',
        write='?p = (f"{HRM_ROOT}/zoo/{os.sep}"\n     f"{os.sep}x:{HRM_ROOT}/sage")',
    ),
    _form(
        "f-string in a call",
        'shutil.rmtree(f"$S/zoo/{os.getpid()}/x")',
        write='?shutil.rmtree(f"{HRM_ROOT}/zoo/{os.getpid()}/x")',
    ),
    _form("f-string with braces", 'p = f"$S/zoo/{{}}{os.sep}"', write='?p = f"{HRM_ROOT}/zoo/{{}}{os.sep}"'),
    _form("percent", 'p = "$S/zoo/%s" % os.sep'),
    _form("percent of a tuple", 'p = "$S/zoo/%s-%d%%" % (os.sep, 1)'),
    _form("percent in an operation", 'p = "$S/zoo/%s" % os.sep * 2'),
    _form("format", 'p = "$S/zoo/{}".format(os.sep)'),
    _form("format of names", 'p = "$S/zoo/{a}{{}}".format(a=1)'),
    _form("format of a Path", 'p = Path("$S/zoo/{0}".format("m"))'),
    _form("format and more", 'p = "$S/zoo/{}".format(os.sep).encode()'),
    _form("format over lines", 'p = ("$S/zoo/{}"\n     "/x".format(os.sep))'),
    _form("format that is handed on", 'p = [*map("$S/zoo/{}".format, "ab")]'),
    _form("format of two roots", 'p = "$S/zoo/{}:$S/sage/{}".format(1, 2)'),
    _form("bytes", 'p = b"$S/zoo/m"'),
    _form("bytes with a slash", 'p = b"$S/zoo/m/"'),
    _form("bytes that are the root", "p = b'$S'"),
    _form("bytes and a rest", 'p = b"$S/zoo/" + b"x"[:1]'),
    _form("bytes and percent", 'p = b"$S/zoo/%s" % b"x"'),
    _form("bytes in a line", 'p = b"--model=$S/zoo/m", 1'),
    _form(
        "command line",
        'subprocess.run("cd $S/zoo && ls", shell=True)',
        write='?subprocess.run(f"cd {HRM_ROOT}/zoo && ls", shell=True)',
    ),
    _form("command line with braces", 'os.system("ls $S/zoo/{a,b}")', write='?os.system(f"ls {HRM_ROOT}/zoo/{{a,b}}")'),
    _form("command line for another machine", 'os.system("ssh sprout ls $S/zoo")', "data"),
    _form("os.system", 'os.system("ls $S/zoo")', write='?os.system(f"ls {HRM_ROOT}/zoo")'),
    _form("option with =", 'p = ["--model=$S/zoo/m"]', write='?p = [f"--model={HRM_ROOT}/zoo/m"]'),
    _form(
        "list of paths",
        'x = os.environ["P"] = "$S/zoo:$S/sage"',
        write='?x = os.environ["P"] = f"{HRM_ROOT}/zoo:{HRM_ROOT}/sage"',
    ),
    _form(
        "a longer name beside",
        'os.environ["P"] = "$S/zoo:$S2/sage"',
        write='?os.environ["P"] = f"{HRM_ROOT}/zoo:$S2/sage"',
    ),
    _form("with a comment", 'p = ("$S/"  # the zoo\n     "zoo/m")', write='?p = (str(HRM_ROOT / "zoo/m"))'),
    _form("a directory that is not", 'p = "$S/new/deep/x.json"', write='?p = str(HRM_ROOT / "new/deep/x.json")'),
    # questions about the machine
    _form("exists", 'if os.path.exists("/home/sprout/ai-workspace"):\n    pass', "detection"),
    _form("Path.exists", 'there = Path("$S").exists()', "detection"),
    _form("comparison", 'here = os.getcwd() == "$S"', "detection"),
    _form("in", 'here = "/home/sprout/x" in os.getcwd()', "detection"),
    _form("startswith", 'here = __file__.startswith("$S")', "detection"),
    _form("replace", 'p = __file__.replace("$S", "")', "detection"),
    _form("hostname", 'R = "$S" if socket.gethostname() == "sprout" else "x"', "detection"),
    _form("platform", 'if platform.node().startswith("s"):\n    R = "$S"', "detection"),
    _form(
        "whose home",
        'if Path("/home/dp").exists():\n    R = "/home/dp/HRM"\nelse:\n    R = "$S"',
        *["detection", "detection", "mappable"],
        write='if Path("/home/dp").exists():\n    R = "/home/dp/HRM"\nelse:\n    R = str(HRM_ROOT)',
    ),
    _form("an answer kept", 'ON_SPROUT = os.path.exists("$S")\nR = "$S" if ON_SPROUT else "."', *["detection"] * 2),
    _form("table of machines", 'R = {"sprout": "$S", "thor": "/home/dp/HRM"}[os.environ["M"]]', *["detection"] * 2),
    _form("key", 'R = {"$S": 1}', "detection"),
    _form("candidates", 'C = ["$S", "/opt/hrm"]\nR = next(c for c in C if os.path.exists(c))', "detection"),
    _form("candidates of machines", 'C = ["$S", "/home/dp/HRM"]', *["detection"] * 2),
    _form("candidates in a loop", 'for c in ("$S", "/opt/x"):\n    if os.path.isdir(c):\n        break', "detection"),
    _form("environment", 'if os.environ.get("SAGE_MACHINE") == "sprout":\n    R = "$S"', "detection"),
    _form("pattern", 'match sys.argv[0]:\n    case "$S":\n        pass', "detection"),
    # words
    _form("docstring", 'def f():\n    """Reads $S/zoo/m."""', "documentation"),
    _form("comment", "x = 1  # was $S/zoo/m", "documentation"),
    _form("print", 'print("$S/zoo/m")', "documentation"),
    _form("log", 'logging.info("the model is %s", "$S/zoo/m")', "documentation"),
    _form("raise", 'def f():\n    raise OSError("$S/zoo/m")', "documentation"),
    _form("help", 'argparse.ArgumentParser(description="$S/zoo/m")', "documentation"),
    _form("prompt", 'PROMPT = """You live in $S/zoo\nand say so."""', "documentation"),
    _form("sentence", 'TEXT = "the model lies in $S/zoo/m, or did"', "documentation"),
    _form("f-string of words", 'print(f"{sys.argv[0]} is not $S/zoo/m")', "documentation"),
    _form("message of assert", 'assert sys.argv, "$S/zoo/m"', "documentation"),
    _form("words behind a path", 'TEXT = "$S/zoo/m was there"', "documentation"),
    _form("words behind a path, and another", 'TEXT = "$S/zoo/m and zoo/n"', "documentation"),
    # somewhere else
    _form("blanks, and nothing like it here", 'p = "/home/sprout/My Models/x/y"', "foreign"),
    _form("nothing like it here", 'p = "/home/sprout/elsewhere/x/y"', "foreign"),
    _form("no path at all", 'u = "https://example.org/home/x", "/v1/models", "/", "a/b"'),
]
NO_PATH = {"no path at all"}


def lay_out(root: Path) -> tuple[Path, Path]:
    """Make this machine's home and checkout below `root`, and return the home and the checkout."""
    home = root / "home" / "dp"
    checkout = home / "ai-workspace" / "HRM"
    for name in ("zoo/m", "my zoo/m/x", "sage/raising/scripts"):
        (checkout / name).mkdir(parents=True, exist_ok=True)
    (checkout / "zoo/m/config.json").write_text("{}", encoding="utf-8")
    return home, checkout
