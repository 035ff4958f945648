"""How the doctor is run on the corpus: as a user would, by its command line, with nothing of the real home in reach."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.warm_python import warm_python

from .builders import cache
from .builders.case import Bench, Case

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
AT_ONCE = 2
LIBRARIES = ("torch", "transformers", "peft", "safetensors.numpy")  # imported once for all that load a model
TREE, STOCK, VARIANTS = "tree", "tree--stock", "tree--variants"
# What a user may type in a directory without a model and a manifest, and the exit code of each.
TARGETS: tuple[tuple[list[str], int], ...] = (
    ([], 3),  # the working directory holds nothing to examine
    (["check"], 3),
    (["check", "."], 3),
    (["check", "missing/model"], 2),  # a path that is nothing: misspelt
    (["check", "/home/sprout/model-zoo/introspective-qwen-merged"], 2),
    (["check", "notes.txt"], 1),
    (["check", "introspective-qwen"], 2),  # a name, and no manifest that could know it
    (["check", "--level", "deepest", "."], 2),
    (["check", "--format", "yaml", "."], 2),
    (["check", "-m", "missing.toml"], 2),
    (["check", "--no-such-option"], 2),
    (["chekc"], 2),
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of the doctor. `exit_code` is None where it hung, `report` is None where it wrote none."""

    exit_code: int | None
    stdout: str
    stderr: str
    report: dict[str, Any] | None

    def findings(self, subject: str, *, below: bool = False) -> list[dict[str, Any]]:
        """Return the findings of a subject, root cause first; with `below`, of all subjects in its directory, too."""
        found = (self.report or {}).get("findings", ())
        return [f for f in found if f["subject"] == subject or (below and f["subject"].startswith(f"{subject}/"))]

    def subjects(self) -> list[str]:
        """Return what the report speaks of."""
        return sorted({c["subject"] for c in (self.report or {}).get("checks", ())})


def alone(cases: Iterable[Case]) -> list[Case]:
    """Return the cases that get a run of their own: it costs a second each.

    That is each case that cannot lie in the tree, each of the field, each that may hang or lie about its name, and of
    the others the first of a family for each finding. The healthy ones of the tree are examined by family.
    """
    chosen: dict[tuple[str, ...], Case] = {}
    for case in cases:
        family = case.name.partition("/")[0]
        if case.source or not case.in_tree or case.among_many or family == "special" or case.level != "static":
            chosen[(case.name,)] = case
        elif case.outcome != "healthy":
            chosen.setdefault((family, *case.codes), case)
    return list(chosen.values())


@dataclass(frozen=True)
class Corpus:
    """The directories of the corpus below `root`, and what the doctor said about each.

    The doctor is that of `checkout`, run by `python`. What builds the directories is this checkout's own. `session` is
    the Python whose transformers and PEFT save and load the models; where it is another one, the doctor is told of it.
    """

    root: Path
    checkout: Path = CHECKOUT
    python: str = sys.executable
    session: str = sys.executable

    @property
    def warm(self) -> Path:
        """This test run's Python with the libraries imported, in the environment of the corpus."""
        return self.root / "warm" / "python"

    @property
    def tree(self) -> Path:
        """The directory that holds every case that can be one of many."""
        return self.root / "tree"

    def bench(self, case: Case) -> Bench:
        """Return where the case lies."""
        here = (self.tree if case.in_tree else self.root / "apart") / case.name
        return Bench(stock=self.tree / "stock", here=here, beside=self.root / "beside" / case.name)

    def build(self, cases: Iterable[Case]) -> None:
        """Build the stock, which takes torch, in a process of its own; then every case from it."""
        self.root.mkdir(parents=True, exist_ok=True)
        warm_python(self.warm.parent, *LIBRARIES, environ=self.environment())
        stock = self.tree / "stock"
        code = "import sys, pathlib; from builders import stock, trained; d = pathlib.Path(sys.argv[1]); "
        self._python("-c", code + "stock.build(d); trained.build(d)", str(stock))
        cache.fill(stock, self.root / "hub")
        for case in cases:
            bench = self.bench(case)
            bench.beside.mkdir(parents=True)
            bench.here.parent.mkdir(parents=True, exist_ok=True)
            case.build(bench)

    def try_for_real(self, cases: Iterable[Case]) -> dict[str, str]:
        """Return what a load does with every case of the tree and field but the special files, by the case's name."""
        folders = {
            c.name: str(self.bench(c).here)
            for c in cases
            if c.source or (c.in_tree and not c.name.startswith("special/"))
        }
        told: dict[str, str] = json.loads(self._python(str(HERE / "truth.py"), given=json.dumps(folders)))
        return told

    def major(self) -> int:
        """Return the major version of the session's transformers."""
        code = "import importlib.metadata; print(importlib.metadata.version('transformers'))"
        done = subprocess.run([self.session, "-c", code], capture_output=True, text=True, check=True)
        return int(done.stdout.partition(".")[0])

    def _python(self, *words: str, given: str = "") -> str:
        done = subprocess.run(
            [self.warm if self.session == sys.executable else self.session, "-W", "ignore", *words],
            env={**self.environment(), "PYTHONPATH": str(HERE)},
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    def environment(self) -> dict[str, str]:
        """Return an environment without a home, a cache or a setting of the user's own."""
        home = self.root / "home"
        home.mkdir(parents=True, exist_ok=True)
        places = {name: str(home / name.lower()) for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME")}
        names = ("PATH", "LANG", "LD_LIBRARY_PATH", "OMP_NUM_THREADS")
        kept = {name: os.environ[name] for name in names if name in os.environ}
        return {
            **kept,
            **places,
            "HOME": str(home),
            "HF_HOME": str(home / "huggingface"),
            "HF_HUB_CACHE": str(self.root / "hub"),
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": str(self.checkout),
            "PYTHONUTF8": "1",
        }

    def ask(self, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `sage-doctor` with `words`."""
        return subprocess.run(
            [self.python, "-m", "sage_doctor", *words],
            cwd=cwd,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def examine(self, singly: Iterable[Case], *, trees: bool = True) -> None:
        """Let the doctor examine `singly` each case alone; with `trees` all as one tree, and two healthy families."""
        jobs = {
            name: self._job(name, [str(folder)], cwd=self.root, level=level)
            for name, folder, level in (
                (TREE, self.tree, "static"),
                (STOCK, self.tree / "stock", "integrity"),
                (VARIANTS, self.tree / "variants", "integrity"),
            )
            if trees
        }
        for case in singly:
            bench = self.bench(case)
            words = ["-m", "sage-doctor.toml"] if case.manifest else ["--", str(bench.here / case.target)]
            cwd = bench.here if case.manifest else bench.beside
            changes = {name: str(bench.here / value) for name, value in case.environment.items()}
            name = case.name.replace("/", "--")
            jobs[name] = self._job(name, words, cwd=cwd, level=case.level, changes=changes)
        # Dealt by turns, so that the costly ones, which stand together, are shared.
        names = list(jobs)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for dealt, codes in pool.map(
                lambda dealt: (dealt, self._serve([jobs[name] for name in dealt])),
                [names[first::AT_ONCE] for first in range(AT_ONCE)],
            ):
                for name, code in zip(dealt, codes, strict=True):
                    (self.root / "runs" / f"{name}.code").write_text(json.dumps(code), encoding="ascii")

    def _job(
        self, name: str, words: list[str], *, cwd: Path, level: str, changes: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the run of `sage-doctor check` with `words`, whose report and streams are kept under `name`."""
        place = self.root / "runs"
        place.mkdir(exist_ok=True)
        if self.session != sys.executable and "-m" not in words:
            manifest = self.root / "session.toml"
            said = f'schema = 1\n[machines.here]\nmatch.hostname = "*"\npython = {json.dumps(self.session)}\n'
            manifest.write_text(said, encoding="utf-8")
            words = ["-m", str(manifest), *words]
        return {
            "words": ["check", "-l", level, "-o", f"json:{place / name}.json", *words],
            "cwd": str(cwd),
            "env": {**self.environment(), **(changes or {})},
            "python": str(self.warm) if level != "static" and self.python == sys.executable else self.python,
            "stdout": f"{place / name}.out",
            "stderr": f"{place / name}.err",
        }

    def _serve(self, jobs: list[dict[str, Any]]) -> list[int | None]:
        """Run the jobs one after the other; returns their exit codes."""
        done = subprocess.run(
            [self.python, str(HERE / "fork_server.py"), str(self.checkout), str(CHECKOUT)],
            input=json.dumps(jobs),
            env=self.environment(),
            cwd=self.root,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        codes: list[int | None] = json.loads(done.stdout)
        return codes

    def run(self, name: str) -> Run:
        """Return the run kept under a case's name, or under `TREE`, `STOCK` or `VARIANTS`."""
        place = self.root / "runs" / name.replace("/", "--")
        out, err, code, report = (place.with_name(f"{place.name}.{end}") for end in ("out", "err", "code", "json"))
        return Run(
            exit_code=json.loads(code.read_text(encoding="ascii")),
            stdout=out.read_text(encoding="utf-8", errors="replace"),
            stderr=err.read_text(encoding="utf-8", errors="replace"),
            report=json.loads(report.read_text(encoding="utf-8")) if report.exists() else None,
        )
