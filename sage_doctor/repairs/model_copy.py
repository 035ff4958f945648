"""The plan of a copy from another machine: which one has the model, which hashes it must have, what differs here.

Which of two versions of a file is right is never guessed: the lock says it, or the record of the merge, or a person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.facts.expected_hashes import expected_hashes
from sage_doctor.facts.hashing import hash_files
from sage_doctor.lock import LOCK_NAME
from sage_doctor.lock.comparison import entry_of
from sage_doctor.manifest.other_machines import ModelElsewhere, elsewhere
from sage_doctor.merge.refusal import MergeRefused
from sage_doctor.merge.target import Present, read_present
from sage_doctor.readers.merge_record import RECORD
from sage_doctor.readers.safetensors_header import read_header
from sage_doctor.repairs import transfer
from sage_doctor.repairs.remote_model import RemoteModel, ask, health
from sage_doctor.repairs.repair import Plan, RepairRefused
from sage_doctor.repairs.transfer import Transfer
from sage_doctor.subjects.model import Model
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import inspect_path
from sage_doctor.system.ssh import require_programs
from sage_doctor.text import join_limited, printable, shell_quote

_BYTES_S = 50e6  # of an ordinary network


@frozen
class _Known:
    """The sha256 that each file must have, and who says so."""

    hashes: Mapping[str, str]
    sources: Mapping[str, str]

    def sentence(self) -> str:
        """Return who says how many of the hashes: `sha256 of 5 files by the lock, of 2 as sprout computes them`."""
        counts = Counter(self.sources.values())
        return "sha256 of " + ", of ".join(f"{n} file{'' if n == 1 else 's'} {who}" for who, n in counts.items())


def plan_copy(model: Model, *, allow_delete: bool = False, machine: str | None = None) -> Plan | None:
    """Return the plan that copies a model from another machine, None where every file is here already.

    `machine` is the only one to ask; by default each that the manifest says has it, until one can give it. Asks them
    over ssh and writes nothing. Raises `RepairRefused` and `DoctorError`.
    """
    if model.hub is not None or model.spec is None or model.host.manifest is None:
        raise RepairRefused("only models that the manifest has in a directory are copied; `hf:` ones are downloaded.")
    require_programs("ssh", "rsync")
    if not model.path.parent.is_dir():
        raise RepairRefused(f"{printable(str(model.path.parent))} is not a directory. Make or mount it first.")
    found, said = _source(model, machine)
    present = _present(model, found)
    known, here = _known(model, found, present)
    job = Transfer(
        source=found,
        target=model.path,
        hashes=known.hashes,
        here=here,
        present=present,
        cache=model.host.hash_cache,
    )
    if len(here) == len(known.hashes):
        return None
    _require_answer(model, job, present, allow_delete=allow_delete)
    sizes = job.to_send
    total = sum(sizes.values())
    kept = f"; {len(here)} more are here already" if here else ""
    return Plan(
        action=f"copy {len(sizes)} file{'' if len(sizes) == 1 else 's'} from {found.machine} with rsync over ssh"
        f"{kept}, compare all of them with their hashes, and replace the directory in one step",
        reads=(found.shown, known.sentence(), said),
        writes=(str(model.path),),
        write_bytes=total,
        disk_bytes=total,
        seconds=total / _BYTES_S,
        network=True,
        runs=f"rsync and ssh, as {found.host} is configured in your ~/.ssh/config",
        unchanged=_unchanged(present, found),
        undo="the old directory is kept until the new one is verified, then deleted" if present.exists else "",
        undo_commands=() if present.exists else (f"rm -r {shell_quote(model.path)}",),
        kept=str(job.staging) if present.exists else None,
        apply=lambda on_progress: transfer.apply(job, on_progress),
    )


def _unchanged(present: Present, found: RemoteModel) -> str:
    other = f"everything on {found.machine}"
    return f"{join_limited(present.top_kept, most=10)}, and {other}" if present.top_kept else other


def _source(model: Model, machine: str | None) -> tuple[RemoteModel, str]:
    """Return the first machine that can give the model, and what its doctor says of it. Raises `RepairRefused`."""
    refusals = []
    for place in _places(model, machine):
        try:
            found = ask(place)
            _require_same(model, found)
            healthy, said = health(found)
        except DoctorError as error:
            refusals.append(f"{place.machine}: {error}")
            continue
        if healthy is not False:
            return found, said
        refusals.append(f"{place.machine}: {said}")
    if not refusals:
        raise RepairRefused(
            "the manifest does not say where another machine has it: a role of that machine must need it, and its path "
            "there must be known (one below the manifest's directory is not). Copy it by hand."
        )
    raise RepairRefused("no machine can give it now. " + " ".join(f"{r.rstrip('.')}." for r in refusals))


def _places(model: Model, machine: str | None) -> Iterator[ModelElsewhere]:
    manifest = model.host.manifest
    assert manifest is not None  # `plan_copy` asked
    for place in elsewhere(manifest, model.name):
        if machine is None or machine in (place.machine, place.host):
            yield place


def _require_same(model: Model, found: RemoteModel) -> None:
    """Raise `RepairRefused` where the lock already tells by names and sizes that it is another model."""
    locked = entry_of(model)
    wrong = [n for n, f in locked.files.items() if found.sizes.get(n) != f.size] if locked is not None else []
    if wrong:
        raise RepairRefused(f"it has another version than {LOCK_NAME} says ({join_limited(wrong, most=3)})")


def _present(model: Model, found: RemoteModel) -> Present:
    try:
        return read_present(model.path, written=frozenset(found.sizes), tokenizer=True)
    except MergeRefused as error:  # its advice is about `merge --out`
        raise RepairRefused(f"{error.message}. Correct that, or copy the model by hand.") from error


def _known(model: Model, found: RemoteModel, present: Present) -> tuple[_Known, frozenset[str]]:
    """Return the hashes that the new files must have, and the files that are here with them already."""
    locked = entry_of(model)
    hashes = {n: f.sha256 for n, f in locked.files.items()} if locked is not None else {}
    sources = dict.fromkeys(hashes, f"by {LOCK_NAME}")
    for name, sha256 in found.recorded.items():
        if name in found.sizes and name not in hashes:
            hashes[name], sources[name] = sha256, f"by the merge's record on {found.machine}"
    rest = [n for n in found.sizes if n not in hashes]
    hashes |= found.hashes(rest)
    sources |= dict.fromkeys(rest, f"as {found.machine} computes them, which show a faithful copy and no more")
    files = [
        n for n in hashes if present.entries.get(n, ("",))[0] == "file" and present.entries[n][2] == found.sizes[n]
    ]
    cache = model.host.hash_cache
    sums = hash_files([(model.path / n, "sha256") for n in files], cache=cache)
    here = frozenset(n for n in files if sums[model.path / n, "sha256"] == hashes[n])
    return _Known(hashes=hashes, sources=sources), here


def _require_answer(model: Model, job: Transfer, present: Present, *, allow_delete: bool) -> None:
    """Raise `RepairRefused` where files would be lost, or replaced by others of which nobody says they are right."""
    if allow_delete:
        return
    if present.deleted:
        listed = join_limited([f"{name} ({why})" for name, why in present.deleted.items()], most=5)
        raise RepairRefused(f"the old directory has what cannot be carried over: {listed}. --allow-delete deletes it.")
    locked = entry_of(model)
    names = [n for n in job.to_send if n != RECORD and (locked is None or n not in locked.files)]
    mine = {n: h.hex for n, h in expected_hashes(model.path, names).items() if h.algorithm == "sha256"}
    whole = {n for n in (*names, *present.replaced) if n in present.entries and not _is_broken(model.path / n)}
    open_ = [n for n in names if (mine[n] != job.hashes[n] if n in mine else n in whole)]
    extra = [n for n in present.replaced if n in whole and n not in job.hashes and n != RECORD]
    if open_ or extra:
        differing = [printable(n) for n in (*open_, *extra)]
        what = f"{join_limited(differing, most=5)} here {'differs' if len(differing) == 1 else 'differ'}"
        raise RepairRefused(
            f"{what} from {job.source.machine}, and nothing says which is right. "
            f"Record the right one with `sage-doctor lock`, or --allow-delete takes that of {job.source.machine}."
        )


def _is_broken(path: Path) -> bool:
    """Return whether a file cannot be anybody's right version: cut, empty, a pointer, or no file."""
    node = inspect_path(path)
    if node.kind != "file" or node.size == 0:
        return True
    return path.name.endswith(".safetensors") and read_header(path).problem is not None
