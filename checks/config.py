"""`config.json`: there, readable, possible, and fitting the weights beside it."""

from __future__ import annotations

from collections.abc import Iterator

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import Blocked, NotApplicable
from sage_doctor.facts.config import impossible_sizes, names_timm
from sage_doctor.facts.custom_code import CodeReference, code_references, missing_modules
from sage_doctor.facts.library_source import knows_model_type
from sage_doctor.facts.library_tokenizers import knows_tokenizer_class
from sage_doctor.facts.model_source import knows_processor
from sage_doctor.findings.config_sizes import size_mismatches
from sage_doctor.findings.json_slips import corrected
from sage_doctor.findings.misnamed import misnamed, rename_commands
from sage_doctor.findings.nearby import weights_nearby
from sage_doctor.findings.restore import bring_back, companions_back, lfs_pull
from sage_doctor.readers.json_object import read_json_object
from sage_doctor.readers.repo_id import is_repo_id
from sage_doctor.readers.tree import names_modules
from sage_doctor.report import Severity
from sage_doctor.subjects.model import Model
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import join_limited, printable, shell_quote

ORDER = 80  # of the check files: causes before consequences

FULL = ("full", "merged")
LOCATED = ("check_path", "check_hub", "check_hub_blobs")
WEIGHTS = (
    "check_weights_present",
    "check_shard_index",
    "check_shards_present",
    "check_weights_whole",
    "check_shard_index_matches",
    "check_weights_unambiguous",
)


@check("static", after=LOCATED, kinds=FULL)
def check_config(model: Model) -> Iterator[Finding]:
    """config.json is there and is a JSON object."""
    file = model.config_file
    if names_modules(model.tree):
        raise NotApplicable("modules.json names the directories below that hold the model")
    dangling = file.problem != "" and inspect_path(file.path).kind == "dangling"
    if model.weights.form == "none" and (file.missing or dangling):
        raise Blocked("path-dangling-symlink" if dangling else "weights-missing")  # nothing of a model is here
    if file.missing:
        found = list(misnamed(model.tree, ["config.json"]))
        yield finding(
            "config-missing",
            "no config.json beside the weights" + (f", but {printable(found[0][0])}" if found else ""),
            evidence={"path": str(model.path)},
            fix=Fix(
                summary=f"Rename {printable(found[0][0])} to config.json: a loader looks for exactly that name.",
                commands=rename_commands(model.tree, found),
            )
            if found
            else companions_back(model, ["config.json"]),
        )
    elif file.problem:
        back = companions_back(model, ["config.json"])
        fix = lfs_pull(model, ["config.json"]) if file.lfs_pointer else corrected(model, "config.json", file.line, back)
        yield finding(
            "config-invalid",
            f"{file.where}: {printable(file.problem)}",
            evidence={"file": "config.json", "line": file.line},
            fix=fix,
        )


@check("static", after=(*LOCATED, "check_config"), kinds=FULL)
def check_config_possible(model: Model) -> Iterator[Finding]:
    """The sizes in config.json can belong to a model."""
    impossible = list(impossible_sizes(model.config_file.value or {}))
    if impossible:
        yield finding(
            "config-invalid",
            f"config.json describes an impossible model: {printable(impossible[0])}",
            evidence={"file": "config.json", "problems": impossible},
            fix=companions_back(model, ["config.json"]),
        )


@check("static", after=(*LOCATED, "check_config"), kinds=FULL)
def check_config_type(model: Model) -> Iterator[Finding]:
    """The session's transformers knows the model type."""
    if names_modules(model.tree):
        raise NotApplicable("modules.json names the directories below that hold the model")
    near = weights_nearby(model) if model.weights.form == "none" else None
    if near is not None and near.reader:
        raise Blocked("weights-missing")  # which has configurations of its own
    model_type = model.config.model_type
    known = knows_model_type(model.host.session.site_packages, model_type or "")
    if known is None:
        raise NotApplicable("the session's transformers could not be read")
    version = model.host.session.packages.get("transformers") or "installed"
    if model_type is None and names_timm(model.config_file.value or {}):
        return  # transformers takes it for `timm_wrapper`
    if model_type is None:
        yield finding(
            "config-type-unknown",
            "config.json has no model_type, so AutoModel cannot choose an architecture",
            evidence={"file": "config.json", "architectures": list(model.config.architectures)},
            fix=companions_back(model, ["config.json"]),
        )
    elif not known and not model.config.auto_map:
        yield finding(
            "config-type-unknown",
            f"model_type {printable(model_type, limit=80)} is unknown to the session's transformers ({version})",
            evidence={"model_type": model_type, "transformers": version},
            fix=Fix(
                summary="Upgrade transformers in the sessions' environment to a release that knows this model type, or "
                "correct config.json if it is misspelt.",
                commands=(f"{shell_quote(model.host.session.executable)} -m pip install --upgrade transformers",),
            ),
        )


@check("static", after=(*LOCATED, "check_config"), kinds=FULL)
def check_custom_code_present(model: Model) -> Iterator[Finding]:
    """The Python files that a model of its own type, its tokenizer and its processor are made of are there."""
    wanted = list(_code_wanted(model))
    if not wanted:
        raise NotApplicable("no code of its own is needed")
    for file, references, severity in wanted:
        found = _code_missing(model, file, references, severity)
        if found is not None:
            yield found
            return


def _code_wanted(model: Model) -> Iterator[tuple[str, list[CodeReference], Severity]]:
    """Yield each file that names code, what it names, and how bad it is if that is not there.

    What transformers has under that name it loads without them.
    """
    sites, tokenizer = model.host.session.site_packages, model.tokenizer
    values = model.config_file.value or {}
    references = list(code_references(values.get("auto_map")))
    if references and knows_model_type(sites, model.config.model_type or "") is False:
        yield "config.json", references, "error"
    references = [r for r in code_references(tokenizer.config.get("auto_map")) if r.auto == "AutoTokenizer"]
    if references and knows_tokenizer_class(sites, tokenizer.tokenizer_class or "") is False:
        yield "tokenizer_config.json", references, "error"
    for name in ("preprocessor_config.json", "processor_config.json"):
        values = (read_json_object(model.path / name, most=1 << 20).value or {}) if model.tree.has(name) else {}
        references = [r for r in code_references(values.get("auto_map")) if r.auto == "AutoProcessor"]
        kind = values.get("processor_class")
        if references and isinstance(kind, str) and knows_processor(sites, kind) is False:
            yield name, references, "warning"


def _code_missing(model: Model, file: str, references: list[CodeReference], severity: Severity) -> Finding | None:
    missing = missing_modules(model.tree, references)
    if missing:
        return finding(
            "custom-code-missing",
            f"{file} names classes in {join_limited([printable(n) for n in missing])}, which "
            f"{'is' if len(missing) == 1 else 'are'} not beside it; trust_remote_code=True does not help",
            severity=severity,
            evidence={"file": file, "missing": missing[:50], "auto_map": [r.auto for r in references][:50]},
            fix=bring_back(model, missing),
        )
    for reference in references:
        if reference.repository is None:
            continue
        repository = printable(reference.repository, limit=120)
        if not is_repo_id(reference.repository):
            where = "which is not the name of a repository"
            commands: tuple[str, ...] = ()
        else:
            from sage_doctor.facts.hub_cache import resolve_hub

            hub = resolve_hub(model.host.hub_cache_dir, reference.repository)
            if hub.snapshot is not None and inspect_path(hub.snapshot / reference.file).kind == "file":
                continue
            where = f"which is not in the local cache ({printable(str(model.host.hub_cache_dir))})"
            commands = (f"hf download {shell_quote(reference.repository)} {shell_quote(reference.file)}",)
        return finding(
            "custom-code-missing",
            f"{file} takes {printable(reference.auto)} from {printable(reference.file)} of {repository}, {where}; "
            "trust_remote_code=True does not help a session that is offline",
            severity=severity,
            evidence={"file": reference.file, "repository": reference.repository},
            fix=Fix(
                summary="Download the code while there is a network, pinned to a revision that you have read, or copy "
                f"the .py files beside {file} and take the repository's name out of auto_map.",
                commands=commands,
            ),
        )
    return None


@check("static", after=(*LOCATED, "check_custom_code_present"))
def check_custom_code(model: Model) -> Iterator[Finding]:
    """The model needs no Python code of its own."""
    # DeepSpeed puts its script into every checkpoint, and no load imports it unless auto_map names it.
    scripts = [n for n in model.tree.matching(r".*\.py") if n != "zero_to_fp32.py"]
    auto_map = model.config.auto_map if model.kind != "adapter" else ()
    if auto_map or scripts:
        what = (
            f"config.json maps {join_limited(list(auto_map))} to code"
            if auto_map
            else f"{join_limited(scripts)} beside the weights"
        )
        # A type that transformers knows it loads without that code.
        sites, kind = model.host.session.site_packages, model.config.model_type or ""
        needed = bool(auto_map) and knows_model_type(sites, kind) is False
        unexamined = "; sage-doctor does not run it, so that no level examines whether a session loads it"
        yield finding(
            "custom-code",
            f"the model comes with its own Python code: {what}" + (unexamined if needed else ""),
            # What no file names, such as the script of a training, nothing imports.
            severity=None if auto_map or model.tokenizer.config.get("auto_map") else "info",
            evidence={"auto_map": list(auto_map), "scripts": scripts[:50]},
            fix=Fix(
                summary="Read the code. If you trust it, pin the revision, and try it once in a session with "
                "trust_remote_code=True."
                if needed
                else "Read the code. If you trust it, pin the revision. In sessions that do not need it, leave "
                "trust_remote_code off."
            ),
        )


@check("static", after=(*LOCATED, *WEIGHTS, "check_config", "check_config_possible"), kinds=FULL)
def check_config_fits_weights(model: Model) -> Iterator[Finding]:
    """The sizes in config.json are those of the weights."""
    if model.weights.form not in ("single", "sharded"):
        raise NotApplicable("the weights have no header to compare with")
    mismatches = list(size_mismatches(model, model.tensors))
    if mismatches:
        yield finding(
            "weights-shape-mismatch",
            f"config.json and the weights do not match: {mismatches[0][0]}",
            evidence={"mismatches": [{"what": w, "tensor": t} for w, t in mismatches]},
            fix=Fix(
                summary="Find out which of the two was replaced, and restore the right one. "
                + bring_back(model, ["config.json"]).summary,
                commands=(f"ls -l --time-style=full-iso {shell_quote(model.path)}",),
            ),
        )
