"""The models of several machines side by side: where each is whole, where it is another one, and what to copy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

from sage_doctor.report.subjects import Subject, is_error_where_needed, subjects_of
from sage_doctor.report.values import ModelInfo, Report
from sage_doctor.text import format_bytes, is_host_name, printable, shell_quote

ModelState = Literal["complete", "broken", "missing", "unknown"]

_DIGITS: Final = 12  # of a digest that is shown
_WHOLE: Final = frozenset({"healthy", "warning"})


@dataclass(frozen=True, kw_only=True)
class ModelCell:
    """A model on one machine. `words` say its size, or what is wrong; `info` is what its report says of it."""

    state: ModelState
    words: str = ""
    info: ModelInfo | None = None


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """One model on all machines, in their order. `sure` is whether the bytes of all complete copies are known."""

    name: str
    cells: tuple[ModelCell, ...]
    sure: bool = True


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A model that is not the same everywhere: `what` differs, and its value on each machine that tells."""

    model: str
    what: str
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A model that one machine lacks and another has whole. The command is for the machine that lacks it.

    `note` says what is needed where no command is known.
    """

    model: str
    source: str
    target: str
    why: str
    command: str | None = None
    note: str = ""


def model_rows(reports: Sequence[Report]) -> tuple[ModelRow, ...]:
    """Return a row for each model that one of the reports names."""
    names: dict[str, None] = {}
    for report in reports:
        names.update(dict.fromkeys(m.name for m in report.models))
        names.update(dict.fromkeys(n for role in report.roles for n in (*role.models, *role.elsewhere)))
    subjects = [{s.name: s for s in subjects_of(report)} for report in reports]
    infos = [{m.name: m for m in report.models} for report in reports]
    elsewhere = [{n for role in report.roles for n in role.elsewhere} for report in reports]
    rows = []
    for name in names:
        cells = tuple(
            _cell(s.get(name), i.get(name), declared=name not in e)
            for s, i, e in zip(subjects, infos, elsewhere, strict=True)
        )
        copies = [c.info for c in cells if c.info is not None and c.state == "complete"]
        rows.append(ModelRow(name=name, cells=cells, sure=len(copies) < 2 or all(c.weights for c in copies)))
    return tuple(rows)


def _cell(subject: Subject | None, info: ModelInfo | None, *, declared: bool) -> ModelCell:
    if not declared:
        return ModelCell(state="missing", words="declared for other machines only")
    if info is not None and not info.found:
        return ModelCell(state="missing", info=info)
    if subject is None:
        return ModelCell(state="unknown", words="not in the report", info=info)
    wrong = next((f for f in (*subject.findings, *subject.suppressed) if is_error_where_needed(f)), None)
    if wrong is not None:
        return ModelCell(state="broken", words=printable(wrong.code, limit=100), info=info)
    if not any(c.status in ("pass", "warn", "fail") for c in subject.checks) or subject.state == "unknown":
        return ModelCell(state="unknown", words="not examined", info=info)
    size = format_bytes(info.nbytes) if info is not None and info.nbytes is not None else ""
    return ModelCell(state="complete", words=size, info=info)


def differences(rows: Iterable[ModelRow], labels: Sequence[str]) -> tuple[Difference, ...]:
    """Return where models of one name are not the same. What one machine does not tell is no difference."""
    found = []
    for row in rows:
        cells = [(label, cell) for label, cell in zip(labels, row.cells, strict=True) if cell.info and cell.info.found]
        for what, values in _identities(cells).items():
            told = tuple((label, value) for label, value in values if value)
            if len({value for _, value in told}) > 1:
                shown = tuple((label, printable(value, limit=200)) for label, value in told)
                found.append(Difference(model=row.name, what=what, values=shown))
                break  # other weights have another size as well: the first one tells
    return tuple(found)


def _identities(cells: Sequence[tuple[str, ModelCell]]) -> Mapping[str, list[tuple[str, str | None]]]:
    """Return what tells two copies apart, what says most first. The bytes of a broken one make it no other model."""
    all_of = [(label, c.info) for label, c in cells if c.info is not None]
    infos = [(label, c.info) for label, c in cells if c.info is not None and c.state == "complete"]
    return {
        "kind": [(label, i.kind) for label, i in all_of],
        "base": [(label, i.base) for label, i in all_of],
        "weights": [(label, f"sha256 {i.weights[:_DIGITS]}" if i.weights else None) for label, i in infos],
        "size of the weights": [(label, f"{i.nbytes:,} bytes" if i.nbytes is not None else None) for label, i in infos],
        "tensors": [(label, f"header {i.shapes[:_DIGITS]}" if i.shapes else None) for label, i in infos],
    }


def copies(
    rows: Iterable[ModelRow], reports: Sequence[Report], labels: Sequence[str], stale: Sequence[bool], open_: set[str]
) -> tuple[Copy, ...]:
    """Return what machines lack of the models that a role needs, and another machine that has it whole.

    The first one does, of those whose report is not stale where there are any. Of the models in `open_` there are
    different ones: a person says which is right.
    """
    needed = {n for report in reports for role in report.roles for n in (*role.models, *role.elsewhere)}
    found = []
    for row in rows:
        having = (i for i, cell in enumerate(row.cells) if cell.state == "complete" and cell.info)
        source = min(having, key=lambda i: stale[i], default=None)
        if source is None or (needed and row.name not in needed):
            continue
        for target, cell in enumerate(row.cells):
            if cell.state == "missing" or (cell.state == "broken" and _has_other_weights(cell, row.cells[source])):
                hosts = [reports[i].machine.hostname for i in (source, target)]
                command, note = _command(hosts, row.cells[source], cell)
                if row.name in open_:
                    command, note = None, "its copies are not the same (see above), and which one is right is not known"
                why = f"broken there: {cell.words}" if cell.state == "broken" else cell.words or "not found there"
                found.append(
                    Copy(
                        model=row.name,
                        source=labels[source],
                        target=labels[target],
                        why=why,
                        command=command,
                        note=note,
                    )
                )
    return tuple(found)


def _has_other_weights(cell: ModelCell, source: ModelCell) -> bool:
    """Return whether a broken copy would become another one; what is wrong beside the weights, a copy may not mend."""
    ours, theirs = (
        (c.info.nbytes, c.info.weights, c.info.shapes) if c.info is not None else () for c in (cell, source)
    )
    return any(a != b for a, b in zip(ours, theirs, strict=False) if a is not None and b is not None)


def _command(hosts: Sequence[str], source: ModelCell, target: ModelCell) -> tuple[str | None, str]:
    """Return the command that copies a model from the first of two hosts to the second, else why none is known.

    It deletes nothing and keeps what it replaces.
    """
    host = hosts[0]
    if host == hosts[1]:
        return None, f"both machines have the hostname {printable(host, limit=100)}"
    if target.info is None:
        return None, "the manifest does not say where it belongs on that machine"
    old, new = (_directory(c.info.path) for c in (source, target) if c.info is not None)
    if not is_host_name(host) or not old.startswith("/") or not new.startswith("/"):
        return None, "its report does not say where it is in a way that a command could use"
    if ("/models--" in old) != ("/models--" in new):
        return None, "one copy is in the Hugging Face cache and the other is not"
    kept = " --backup --suffix=.replaced" if target.state == "broken" else ""
    remote = shell_quote(f"{host}:{old}/")
    secluded = " -s" if remote[:1] in "'\"" else ""  # else a remote shell would read the path once more
    place = shell_quote(f"{new}/")
    return f"mkdir -p {place} && rsync -a{secluded} --partial{kept} {remote} {place}", ""


def _directory(path: str) -> str:
    """Return what is to be copied: of a snapshot in the Hugging Face cache, whose files are links, all of its model."""
    place = PurePosixPath(path)
    parts = place.parts
    cached = next((i for i, part in enumerate(parts) if part.startswith("models--")), None)
    if cached is not None and (len(parts) == cached + 1 or parts[cached + 1 : cached + 2] == ("snapshots",)):
        return str(PurePosixPath(*parts[: cached + 1]))
    return str(place)
