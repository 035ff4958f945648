"""`sage-doctor list`: list models: what each is, how large, who needs it, and whether its files are all there.

Reads names and headers only. The models of the manifest, or those at or below the given directories.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sage_doctor.cli.options import add_manifest
from sage_doctor.text import format_bytes, format_duration, join_limited, printable

if TYPE_CHECKING:
    from sage_doctor.history.listing import LastResult
    from sage_doctor.manifest.specs import Manifest, ServiceSpec
    from sage_doctor.readers.safetensors_header import Header
    from sage_doctor.subjects.model import Model
    from sage_doctor.subjects.selection import Selection
    from sage_doctor.system.path_info import PathInfo


EXAMPLES = (
    ("list", "the models of the manifest"),
    ("list ~/models", "what is below a directory"),
    ("list -f json", "for a program"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help="models, roles or directories (default: all models)"
    )
    add_manifest(parser)
    parser.add_argument("--names", action="store_true", help="print only the names of models and roles, one a line")
    parser.add_argument(
        "-f", "--format", dest="list_format", choices=("terminal", "json"), default="terminal", help="text or JSON"
    )


def run(options: argparse.Namespace) -> int:
    """Print the table. Raises `DoctorError` where there is nothing to list."""
    if options.names:
        return _print_names(options.manifest)
    from sage_doctor.render.table import write_table  # noqa: PLC0415 - --help needs no manifest
    from sage_doctor.subjects.selection import Request, select  # noqa: PLC0415

    request = Request(targets=tuple(options.targets), manifest=options.manifest, level="static", cwd=os.getcwd())
    selection = select(request)
    last = _last_results(selection)
    models = sorted(_models(selection, options.targets), key=lambda m: m.title)
    rows = [_row(model, selection) for model in models]
    results = [last.get(model.name) for model in models]
    manifest = selection.host.manifest
    services = manifest.services.values() if manifest is not None and not options.targets else ()
    rows += [_service_row(service, manifest) for service in services if manifest is not None]
    results += [last.get(service.name) for service in services]
    if options.list_format == "json":
        told = [r and {"at": _when(r), "level": r.level, "code": r.code} for r in results]
        listed = [{**row, "last_result": result} for row, result in zip(rows, told, strict=True)]
        sys.stdout.write(json.dumps({"models": listed}, indent=2) + "\n")
        return 0
    table = [
        (
            printable(row["name"], limit=200),
            row["kind"],
            format_bytes(row["bytes"]) if row["bytes"] else "-",
            ", ".join(row["dtypes"]) or "-",
            printable(join_limited(row["needed_by"], most=4)) or "-",
            *([_told(result)] if last else []),
            _files(row),
        )
        for row, result in zip(rows, results, strict=True)
    ]
    column = ("last result",) if last else ()
    write_table(table, head=("name", "kind", "size", "dtype", "needed by", *column, "files"))
    return 0


def _files(row: dict[str, Any]) -> tuple[str, str]:
    if row["kind"] == "service":
        return printable(row["path"], limit=300), ""
    return (printable(row["problem"], limit=300), "red") if row["problem"] else ("whole", "green")


def _last_results(selection: Selection) -> Mapping[str, LastResult]:
    """Return what the history says of each model: when it was last examined, how deep, and what was found."""
    from sage_doctor.history.runs import series_of  # noqa: PLC0415

    series = series_of(selection.host)
    if series is None:
        return {}
    from sage_doctor.history.listing import last_results  # noqa: PLC0415

    return last_results(series)


def _when(result: LastResult) -> str:
    return dt.datetime.fromtimestamp(result.at, dt.timezone.utc).isoformat(timespec="seconds")


def _told(result: LastResult | None) -> tuple[str, str]:
    if result is None:
        return "-", ""
    passed = time.time() - result.at
    when = f"{format_duration(passed)} ago" if passed >= 0 else _when(result)
    return f"{printable(result.code or 'healthy', limit=60)} ({printable(result.level, limit=20)}, {when})", ""


def _print_names(manifest: str | None) -> int:
    """Print what completion offers; nothing is read but the manifest."""
    from sage_doctor.cli.this_host import this_host  # noqa: PLC0415

    found = this_host(manifest).manifest
    for name in (*found.models, *found.services, *found.roles) if found is not None else ():
        sys.stdout.write(f"{printable(name)}\n")
    return 0


def _models(selection: Selection, targets: list[str]) -> list[Model]:
    if targets or selection.host.manifest is None:
        return list(selection.models)
    from sage_doctor.subjects.declared import models_of  # noqa: PLC0415

    return list(models_of(selection.host.manifest).values())


def _service_row(service: ServiceSpec, manifest: Manifest) -> dict[str, Any]:
    roles = [name for name in manifest.needed_roles() if service.name in manifest.roles[name].models]
    return {
        "name": service.name,
        "kind": "service",
        "path": service.url,
        "bytes": 0,
        "dtypes": [],
        "needed_by": roles,
        "problem": "",
    }


def _row(model: Model, selection: Selection) -> dict[str, Any]:
    from sage_doctor.subjects.completeness import why_not_loadable  # noqa: PLC0415

    manifest = selection.host.manifest
    manifest = manifest.whole or manifest if manifest is not None else None
    needed = manifest.needed_roles() if manifest is not None else ()
    roles = [name for name in needed if manifest and model.name in manifest.loaded_by(manifest.roles[name])]
    files: list[tuple[PathInfo | None, Header | None]] = []
    if model.found:
        own = model.adapter_weights
        files = (
            [(own.node, own.header)] if model.kind == "adapter" else [(f.node, f.header) for f in model.weights.files]
        )
    tensors = [t for _, header in files if header is not None for t in header.tensors.values()]
    return {
        "name": model.title,
        "kind": model.kind,
        "path": str(model.path),
        "bytes": sum(node.size for node, _ in files if node is not None and node.kind == "file"),
        "dtypes": sorted({t.dtype for t in tensors}),
        "needed_by": roles,
        "problem": why_not_loadable(model),
    }
