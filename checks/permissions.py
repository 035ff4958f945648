"""Whether the user that runs sessions may read the weight files. Mode bits are asked: root reads everything."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.findings.access import unreadable, with_modes
from sage_doctor.findings.repairability import why_not_modes
from sage_doctor.findings.restore import with_repair
from sage_doctor.subjects.model import Model
from sage_doctor.system.path_info import readable_by
from sage_doctor.text import printable, shell_quote

ORDER = 60  # of the check files: causes before consequences


@check("static", after=["check_path", "check_hub", "check_hub_blobs"])
def check_weights_readable(model: Model) -> Iterator[Finding]:
    """The weight files may be read by the user that runs sessions."""
    files = model.weights.files if model.kind != "adapter" else ()
    uid = os.getuid()
    gids = frozenset(os.getgroups())
    own = [(f.name, f.node) for f in files if f.node.kind in ("file", "unreadable")]
    if model.kind == "adapter" and model.adapter_weights.name and model.adapter_weights.node is not None:
        own = [(model.adapter_weights.name, model.adapter_weights.node)]
    whole = model.hub.folder if model.hub is not None else model.path
    refusals = {n: unreadable(model.host, model.path / n, tree=whole) for n, _ in own}
    closed = [n for n, node in own if refusals[n] is not None or not node.mode & 0o444]
    if closed:
        # Root reads what nobody may: then there is no refusal, and the mode bits alone say so.
        found = next(filter(None, (refusals[n] for n in closed)), None) or finding(
            "path-unreadable",
            f"the user that runs sessions cannot read {printable(closed[0])}",
            fix=_opened(model, closed, "u+r", "Allow reading."),
        )
        found = dataclasses.replace(found, evidence={**found.evidence, "files": closed})
        yield with_modes(found, model, closed)
        return
    private = [n for n, node in own if node.uid != uid and not readable_by(node, uid, gids)]
    if private and not uid:
        owner = dict(own)[private[0]].uid
        yield finding(
            "weights-private-mode",
            f"only its owner (user {owner}) can read {printable(private[0])}",
            evidence={"files": private},
            fix=_opened(
                model,
                private,
                "a+r",
                "Make the files readable for the user that runs sessions.",
            ),
        )


def _opened(model: Model, names: list[str], mode: str, summary: str) -> Fix:
    fix = Fix(summary=summary, commands=tuple(f"chmod {mode} {shell_quote(model.path / n)}" for n in names[:20]))
    return fix if why_not_modes(model, names) else with_repair(fix, model, "fix-modes")
