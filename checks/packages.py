"""The packages of the sessions' interpreter, as far as their metadata tells: nothing of them is imported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import Blocked, NotApplicable
from sage_doctor.facts.library_source import accepted_formats
from sage_doctor.facts.library_tokenizers import class_of_like_name, knows_tokenizer_class
from sage_doctor.facts.packages import InterpreterFacts
from sage_doctor.findings.environment import outdated_environment
from sage_doctor.findings.model_packages import config_is_newer, taken_by_files
from sage_doctor.findings.packages import conflicts, lacking, unmet
from sage_doctor.readers.versions import Needed, satisfies
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import join_limited, printable, shell_quote

ORDER = 120  # of the check files: causes before consequences

LOCATED = ("check_path", "check_hub", "check_hub_blobs")


@check("static")
def check_requirements(host: Host) -> Iterator[Finding]:
    """The sessions' interpreter has the packages that the manifest requires."""
    required = host.manifest.requires if host.manifest is not None else ()
    if not required:
        raise NotApplicable("the manifest requires no packages")
    yield from unmet(_listed(host), required, "the manifest")


@check("static")
def check_packages_agree(host: Host) -> Iterator[Finding]:
    """The installed packages go together."""
    yield from conflicts(_listed(host))


@check("static", after=(*LOCATED, "check_quantization", "check_tokenizer_readable"))
def check_model_packages(model: Model, host: Host) -> Iterator[Finding]:
    """The sessions' interpreter has what this model's table and its files need."""
    session = _listed(host)
    if session.version_of("transformers") is None:
        raise NotApplicable("the sessions' interpreter has no transformers")
    if model.spec is not None:
        yield from unmet(session, model.spec.requires, f"the manifest's table of {printable(model.name, limit=60)}")
    base = model.base.model if model.kind == "adapter" else None
    of_base = taken_by_files(base) if base is not None and model.siblings.get(base.name) is not base else ()
    told = set()
    for what, alternatives in (*taken_by_files(model), *((f"its base: {w}", a) for w, a in of_base)):
        if what not in told and all(session.version_of(name) is None for name in alternatives):
            told.add(what)
            needed = Needed(name=alternatives[0], versions="", marker="")
            yield lacking(session, needed, what, alternatives=alternatives)


@check("static", after=(*LOCATED, "check_weights_present", "check_config"), kinds=("full", "merged"))
def check_config_understood(model: Model) -> Iterator[Finding]:
    """The session's transformers reads what config.json says."""
    found = config_is_newer(model)
    if found is not None:
        yield found


@check("static", after=(*LOCATED, "check_weights_present", "check_weights_whole"), kinds=("full", "merged"))
def check_weights_understood(model: Model, host: Host) -> Iterator[Finding]:
    """The session's transformers accepts the metadata of the weight files."""
    session = _listed(host)
    accepted = accepted_formats(session.site_packages)
    if accepted is None:
        raise NotApplicable("the session's transformers asks for no metadata")
    headers = [(f.name, f.header.metadata) for f in model.weights.files if f.header is not None]
    refused = [name for name, metadata in headers if metadata is not None and metadata.get("format") not in accepted]
    if refused:
        version = session.version_of("transformers")
        code = (
            "import os, sys; from safetensors.torch import load_file, save_file; "
            '[(save_file(load_file(f), f + ".new", {"format": "pt"}), os.rename(f, f + ".aside"), '
            'os.rename(f + ".new", f)) for f in sys.argv[1:]]'
        )
        files = " ".join(shell_quote(model.path / n) for n in refused)
        yield finding(
            "package-version",
            f"{join_limited([printable(n) for n in refused])} has metadata without 'format': the session's "
            f"transformers {printable(version or '', limit=40)} refuses it, transformers 5 does not ask",
            evidence={"package": "transformers", "installed": version, "files": refused[:50]},
            fix=Fix(
                summary="Save the file again with metadata={'format': 'pt'}, or upgrade transformers in the sessions' "
                "environment to 5 or newer.",
                commands=(f"{shell_quote(session.executable)} -c {shell_quote(code)} {files}",),
            ),
        )


@check("static", after=(*LOCATED, "check_tokenizer", "check_tokenizer_readable", "check_weights_understood"))
def check_tokenizer_understood(model: Model, host: Host) -> Iterator[Finding]:
    """The session's transformers knows what the tokenizer's configuration says."""
    session = _listed(host)
    installed = session.version_of("transformers")
    values = model.tokenizer.config
    if not values or installed is None or satisfies(installed, "<5") is not True:
        raise NotApplicable("transformers 5 reads the configurations of earlier ones")
    name, extra = values.get("tokenizer_class"), values.get("extra_special_tokens")
    known = not isinstance(name, str) or "auto_map" in values or knows_tokenizer_class(session.site_packages, name)
    what, by, cure = "", "was saved by transformers 5", '"tokenizer_class": "PreTrainedTokenizerFast"'
    if isinstance(name, str) and known is False:
        what = f"it does not have the class {printable(name, limit=60)}"
        if not name.endswith("Backend"):  # those of transformers 5
            by = "names a class that only transformers 5 passes over"
            cure = (
                f'"tokenizer_class": "{class_of_like_name(session.site_packages, name) or "PreTrainedTokenizerFast"}"'
            )
    elif model.tree.has("tokenizer.json") and (file := _file_elsewhere(values.get("tokenizer_file"))):
        by, cure = "names a file of another machine", ""
        what = f"it reads {printable(file, limit=120)}, which is not there"
    elif isinstance(extra, list):
        what = "it takes extra_special_tokens as an object, not as a list"
    if what:
        renamed = ", and rename extra_special_tokens to additional_special_tokens" if isinstance(extra, list) else ""
        yield finding(
            "package-version",
            f"tokenizer_config.json {by}: the session's transformers {printable(installed, limit=40)} cannot load the "
            f"tokenizer ({what})",
            evidence={"package": "transformers", "installed": installed, "file": "tokenizer_config.json"},
            fix=Fix(
                summary="Upgrade transformers in the sessions' environment to 5 or newer; or "
                + (f"write {cure} into tokenizer_config.json{renamed}." if cure else "take tokenizer_file out of it."),
                commands=(
                    f"{shell_quote(session.executable)} -m pip install --upgrade {shell_quote('transformers>=5')}",
                ),
            ),
        )


def _file_elsewhere(named: object) -> str:
    """Return the path that a setting names where it is absolute and not there; else empty."""
    absolute = isinstance(named, str) and Path(named).is_absolute()
    return str(named) if absolute and inspect_path(str(named)).kind != "file" else ""


def _listed(host: Host) -> InterpreterFacts:
    session = host.session
    if session.problem in ("missing", "not-executable", "not-python"):
        raise Blocked("interpreter-missing")
    if session.problem is not None:
        raise NotApplicable("the sessions' interpreter did not list its packages")
    if outdated_environment(host) is not None:
        raise Blocked("environment-outdated")
    return session
