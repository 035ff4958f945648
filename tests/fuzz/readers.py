"""Every reader of foreign bytes as a function of bytes, which must return or raise what it documents.

`READERS` maps a name to the reader; those that read files get one in a directory of this process. `seeds.py` holds
small valid inputs for each, `finds/` what once broke one, and `test_replay.py` runs both.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.facts.adapters import lora_tensors, rank_of, read_adapter_config, read_adapter_weights
from sage_doctor.facts.config import impossible_sizes, read_config_facts
from sage_doctor.facts.tokenizers import read_tokenizer
from sage_doctor.facts.weights import read_shard_index, read_weights
from sage_doctor.findings.recognition import search
from sage_doctor.gate.result_cache import ResultCache
from sage_doctor.lock.parse import parse_lock
from sage_doctor.manifest.load import parse_for_host
from sage_doctor.paths.find.path_map import PathMap, build_path_map
from sage_doctor.paths.find.script import read_text
from sage_doctor.paths.find.unit_file import crontab_references, plist_references, unit_references
from sage_doctor.probe.transcript import Transcript
from sage_doctor.readers.json_object import parse_json_object
from sage_doctor.readers.known_hash import local_dir_hash, read_hub_listing
from sage_doctor.readers.merge_record import merge_hashes
from sage_doctor.readers.repo_id import is_repo_id
from sage_doctor.readers.safetensors_header import read_header, read_stand_in
from sage_doctor.readers.signature import describe_content
from sage_doctor.readers.tensor_scan import scan
from sage_doctor.readers.tree import read_tree
from sage_doctor.readers.versions import applies, read_requirement, satisfies
from sage_doctor.repairs.journal import Journal
from sage_doctor.report import Report
from sage_doctor.services.endpoint import Endpoint, ServiceError
from sage_doctor.services.events import parse_stream
from sage_doctor.services.http_request import error_message, excerpt
from sage_doctor.text import printable, shell_quote

Reader = Callable[[bytes], object]

_SCRATCH = Path(
    tempfile.mkdtemp(prefix="sage-doctor-fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
)
_COMMIT = "c" * 40
_OPENAI = Endpoint(url="http://127.0.0.1:1", key="secret")
_OLLAMA = Endpoint(url="http://127.0.0.1:1", api="ollama")


def _file(name: str, raw: bytes) -> Path:
    """Return a file with these bytes, made in place of the one before, in a directory of its own name's."""
    folder = _SCRATCH / name.replace("/", "_")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return path


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _map() -> PathMap:
    return build_path_map(
        home=Path("/home/dp"),
        own_roots=[Path("/home/dp/HRM")],
        other_roots=["/home/sprout", "/Users/ann/HRM"],
        machine_names=["sprout"],
    )


def _header(raw: bytes) -> object:
    header = read_header(_file("model.safetensors", raw))
    with contextlib.suppress(DoctorError):
        loras = lora_tensors(header.tensors.values())
        return [rank_of(each) for each in loras]
    return header


def _scanned(raw: bytes) -> object:
    """The values of a file whose header is what the first bytes choose: the scan trusts spans, not headers."""
    path = _file("values.safetensors", raw)
    dtypes = ("F32", "F16", "BF16", "F64", "F8_E4M3", "I8", "U8")
    kind = dtypes[raw[0] % len(dtypes)] if raw else "F32"
    size = max(0, len(raw) - 1) // 8 * 8
    return list(scan(path, {"t": (kind, (size // 2,), 1, 1 + size), "beyond": (kind, (64,), 1, 1 + 64)}))


def _config(raw: bytes) -> object:
    value = parse_json_object("config.json", raw).value
    return None if value is None else (read_config_facts(value), list(impossible_sizes(value)))


def _weights(raw: bytes) -> object:
    path = _file("model.safetensors.index.json", raw)
    value = parse_json_object("config.json", raw).value
    return read_weights(read_tree(path.parent), value), read_shard_index(path)


def _adapter(raw: bytes) -> object:
    folder = _file("adapter_config.json", raw).parent
    tree = read_tree(folder)
    config = read_adapter_config(tree)
    return config, config.rank_for("model.layers.0.self_attn.q_proj"), read_adapter_weights(tree)


def _versions(raw: bytes) -> object:
    one, _, two = _text(raw).partition("\n")
    return read_requirement(one), satisfies(one, two), applies(two, "3.11.4"), is_repo_id(one)


def _hub(raw: bytes) -> object:
    listing = _file(f".cache/huggingface/trees/{_COMMIT}.json", raw)
    folder = listing.parents[3]
    metadata = folder / ".cache/huggingface/download/model.safetensors.metadata"
    metadata.parent.mkdir(parents=True, exist_ok=True)
    metadata.write_bytes(raw)
    return read_hub_listing(folder, _COMMIT), local_dir_hash(folder, "model.safetensors")


def _script(name: str) -> Reader:
    def read(raw: bytes) -> object:
        return read_text(Path(f"/home/dp/HRM/{name}"), raw, _map(), directory=Path("/home/dp/HRM"), executable=True)

    return read


def _units(raw: bytes) -> object:
    text = raw.decode("utf-8", "replace")
    known = _map()
    with contextlib.suppress(ValueError):  # as documented
        plist_references(raw, known)
    return unit_references(text, known, Path("/home/dp")), crontab_references(text, known)


def _service(raw: bytes) -> object:
    text = raw.decode("utf-8", "replace")
    said: list[object] = [excerpt(text, _OPENAI)]
    for endpoint in (_OPENAI, _OLLAMA):
        with contextlib.suppress(ServiceError):
            said += parse_stream(text.splitlines(), endpoint)
    with contextlib.suppress(ValueError, RecursionError):
        said.append(error_message(json.loads(text)))
    return said


def _transcript(raw: bytes) -> object:
    heard = Transcript()
    for start in range(0, len(raw), 50):
        heard.feed(raw[start : start + 50], at=float(start))
    return heard.stages(100.0), heard.failure, heard.finished, heard.stage


def _manifest(raw: bytes) -> object:
    with contextlib.suppress(DoctorError):
        return parse_for_host(raw.decode("utf-8", "replace"), Path("/home/dp/HRM/sage-doctor.toml"))
    return None


def _lock(raw: bytes) -> object:
    with contextlib.suppress(DoctorError):
        return parse_lock(raw.decode("utf-8", "replace"), Path("/home/dp/HRM/sage-doctor.lock"))
    return None


def _record(raw: bytes) -> object:
    cache = ResultCache(_SCRATCH / "gate")
    path = cache.path("role", "key")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_bytes(raw)
    path.chmod(0o600)
    journal = Journal(path=_file("journal.jsonl", raw))
    return cache.read("role", "key"), journal.entries(), journal.unfinished()


def _report(raw: bytes) -> object:
    value = parse_json_object("report.json", raw).value
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError, DoctorError):
        return Report.from_json(value or {})
    return None


def _shown(raw: bytes) -> object:
    text = _text(raw)
    shown = printable(text)
    assert "\n" not in shown
    assert "\x1b" not in shown
    assert "\n" not in shell_quote(text)
    return shown


READERS: dict[str, Reader] = {
    "safetensors-header": _header,
    "safetensors-stand-in": lambda raw: read_stand_in(_file("pytorch_model.bin", raw)),
    "tensor-values": _scanned,
    "config": _config,
    "weights-index": _weights,
    "adapter-config": _adapter,
    "tokenizer": lambda raw: read_tokenizer(read_tree(_file("tokenizer.json", raw).parent)),
    "merge-record": lambda raw: merge_hashes(_file("sage-doctor-merge.json", raw).parent),
    "hub-metadata": _hub,
    "signature": lambda raw: describe_content(raw, len(raw)),
    "versions": _versions,
    "manifest": _manifest,
    "lock": _lock,
    "gate-record": _record,
    "report": _report,
    "python-script": _script("run.py"),
    "shell-script": _script("run.sh"),
    "other-text": _script("settings.yaml"),
    "units": _units,
    "service": _service,
    "transcript": _transcript,
    "log-text": lambda raw: search(raw.decode("utf-8", "replace")),
    "shown-text": _shown,
}
MOST_SECONDS = 5.0  # a reader that takes longer for the few kilobytes of an input hangs


def run(name: str, raw: bytes) -> None:
    """Read. Raises what the reader should not have raised, and `TimeoutError` where it took too long."""
    started = time.process_time()
    READERS[name](raw)
    if time.process_time() - started > MOST_SECONDS:
        raise TimeoutError(f"{name} took {time.process_time() - started:.1f} s for {len(raw)} bytes")
