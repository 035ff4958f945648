"""Which packages of the sessions' interpreter are missing, are of the wrong version, or conflict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from sage_doctor.findings.declaration import Declaration, declare
from sage_doctor.findings.making import finding
from sage_doctor.readers.versions import Needed, applies, plain_name, read_requirement, satisfies
from sage_doctor.report import Finding, Fix
from sage_doctor.text import join_limited, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.facts.packages import InterpreterFacts

TITLE = "Packages"
DECLARATIONS = declare(
    Declaration(
        code="package-missing",
        severity="error",
        title="A package is missing in the sessions' environment",
        cause="The package is not installed in the interpreter that runs sessions; it may be installed in another one.",
        remediation="Install the package with that interpreter: `PYTHON -m pip install NAME`. On Jetson install torch "
        "only from NVIDIA's index. A header file (.h) comes with the system's packages, such as python3-dev.",
        shows=(
            r"ModuleNotFoundError: No module named '[\w-]{1,80}'",
            r"No module named '?(torch|transformers|peft|accelerate|safetensors|tokenizers|bitsandbytes)\b",
            *(r"requires the \S{1,60} library but it was not found", r"You need to have sentencepiece installed"),
            *(r"ImportError: .{0,200}? requires", r"ImportError: \S{1,60} is required"),
            *(r"mamba-ssm is required", r"… is required to initialize the Mamba"),
            r"This modeling file requires the following packages that were not found in your environment",
            *(r"PackageNotFoundError:\x20", r"The '\S{1,80}' distribution was not found and is required by"),
            r"Using `.{1,60}?` (\S{1,20} )?quantiz(ation|ed models) requires",
            r"Loading an? .{1,60}? quantized model requires",
            r"Using `low_cpu_mem_usage=True` or a `device_map` requires Accelerate",
            *(r"Using a `device_map`.{0,160}? requires `accelerate`", r"Using `load_in_8bit=True` requires Accelerate"),
            r"the package for FlashAttention\d? doesn't seem to be installed",
            *(r"the package flash_attn seems to be not installed", r"accelerate is required when loading a GGUF file"),
            *(r"Please install torch and gguf", r"Please make sure you have `sentencepiece` installed"),
            r"`?sentencepiece`? .{0,40}?installed in order to use this tokenizer",
            # Without sentencepiece, transformers reads its file as one of tiktoken.
            r"Converting from (SentencePiece and )?Tiktoken failed",
            r"Error parsing line b.{1,80}? in \S{1,300}\.model",
            r"load_tiktoken_bpe.{0,400}?(?P<said>ValueError: not enough values to unpack)",
            r"local variable 'sentencepiece_model_pb2'",
            *(r"Couldn't build proto file into descriptor pool", r"Cannot find a working triton installation"),
            r"At least one of TensorFlow 2\.0 or PyTorch should be",
            r"Models won't be available and only tokenizers",
            *(r"bitsandbytes is not (installed|available, please)", r"Please install bitsandbytes>=\S{1,20} (via|to)"),
            r"Attempting to load a safetensors file but safetensors is not installed",
            *(r"you need to install the hf_xet package", r"hf_transfer' package is not available in your environment"),
            *(r"You need to install .{1,80}? to use", r"A valid HQQ version \(>=\S{1,12}\) is not available"),
            *(r"No package metadata was found for", r"llama-server binary not found"),
            *(r"Please install \S{1,60} (library|with|via|by) ", r"CUDA_HOME environment variable is not set"),
            *(r"Failed to find C compiler\. Please specify", r"fatal error: \S{1,100}\.h: No such file or directory"),
            r"Cannot instantiate this tokenizer from a slow version",
        ),
        # A name that is only there if a package is.
        may_show=(
            (
                r"(site|dist)-packages[^\n\"]{1,300}\.py\", line \d[^\n]{1,200}\n[^\n]{1,300}\n[^\w]{0,300}"
                r"(?P<said>NameError: name '\w{1,80}' is not defined)"
            ),
            r"NameError: name 'init_empty_weights' is not defined",
        ),
    ),
    Declaration(
        code="package-version",
        severity="error",
        title="A package has the wrong version",
        cause="The installed version does not support what is asked of it, or two installed packages are incompatible.",
        remediation="Install the version that the message names, with `--no-deps` if torch is the vendor's build. A "
        "program that does not know a file's format is older or newer than the file: upgrade it, or convert the file.",
        shows=(
            *(r"ImportError: \S{1,80} ?[<>=!~]=?.{0,80}? is required for", r"ImportError: cannot import name '"),
            *(r"wrong number of tensors; expected \d{1,9}, got", r"is already used by a Transformers model\."),
            r"Disabling PyTorch because PyTorch >= \S{1,20} is required",
            r"A module that was compiled using NumPy 1\.x cannot be run in",
            r"\w{1,40}\.\w{1,40} size changed, may indicate binary incompatibility",
            *(r"numpy\.core\.multiarray failed to import", r"module compiled against (API|ABI) version"),
            r"Tokenizer class \S{1,80} (does not exist or )?is not currently imported",
            r"FlashAttention\d? requires at least version",
            r"you need flash_attn package version to be greater or equal",
            *(r"bitsandbytes version is wrong", r"You have a version of `bitsandbytes` that is not compatible"),
            *(r"Your transformers version is too old", r"The \w{1,40} version should be >="),
            r"PyTorch SDPA requirements in Transformers are not met",
            r"Descriptors cannot (not )?be created directly",
            r"No operator found for `memory_efficient_attention_forward`",
            *(r"ContextualVersionConflict: \(", r"RuntimeError: Numpy is not available"),
            *(r"was removed in the NumPy 2\.0 release", r"is a zip archive \(did you mean to use torch\.jit\.load"),
            r"'_OpNamespace' '\w{1,40}' object has no attribute",
            r"This CTranslate2 package was not compiled with CUDA support",
            r"requires transformers >= \S{1,20}\. Please upgrade",
            r"The model you are attempting to pull requires a newer",
            # A plain PretrainedConfig has what the file has.
            r"'(?!PreTrainedConfig')(\w{1,80}Config|MatmulLtState)' object has no attribute '\w{1,80}'",
            r"AttributeError: type object '\w{1,80}' has no attribute '",
            r"Can't get attribute '\w{1,80}' on <module '(?!__main__)",
            # One package calls another with what that does not take.
            (
                r"(site|dist)-packages[^\n\"]{1,300}\.py\", line \d[^\n]{1,200}\n[^\n]{1,300}\n[^\w]{0,300}"
                r"(?P<said>TypeError: (?!\w{0,60}Config\.)\S{1,120}\(\) got an unexpected keyword argument "
                r"'(?!_name_or_path))"
            ),
            r"'dict' object has no attribute 'model_type'",  # 4.57.2, with a tokenizer in a directory
            r"module '[\w.]{1,80}' has no attribute '\w{1,60}'",
            *(r"partially initialized module '\S{1,60}' has no attribute", r"operator torchvision::nms does not exist"),
            r"ModuleNotFoundError: No module named '(?!transformers_modules)[\w-]{1,80}\.[\w.]{1,80}'",
            r"Found an incompatible version of [\w-]{1,40}\. Found version ",
            r"AttributeError: '\w{0,20}Cache' object has no attribute '",
            *(r"`?rope_scaling`? must be a dictionary", r"Unsloth: Please file a bug report! Error patching"),
            r"__init__\(\) got an unexpected keyword argument 'load_in_[48]bit'",
            r"module (transformers|diffusers)(\.[\w.]{1,80})? has no attribute \w",
            (
                r"resize_state_dict_by_rank_pattern.{0,600}?(?P<said>AttributeError: 'int' object has no "
                r"attribute 'r')"
            ),
            r"String-based quantization type '.{1,60}?' is no longer supported",
            r"Detected that PyTorch and \w{1,40} were compiled with different CUDA",
            *(r"The detected CUDA version \(.{1,20}?\) mismatches the version", r"Requested (CUDA|ROCm) version: "),
            r"bitsandbytes: failed to load backend",
            *(r"failed to load model: this GGUF file version", r"Unsupported GGUF version"),
            # llama.cpp, older or newer than the file.
            *(r"this format is no longer supported", r"un(known|recognized) tensor type \d"),
            r"tensor '.{1,200}?' has invalid ggml type",
            *(r"unknown \(magic, version\) combination: ", r"error loading model hyperparameters: (key not|invalid)"),
            r"Native support for nf4 .{0,40}?was removed",
            r"\S{1,80} is required for a normal functioning of this module, but found",
        ),
        follows=(r"Failed to import \w{1,40}\.\S{1,120} because of the following error",),
        may_show=(
            r"unexpectedly reached end of file",  # of llama.cpp
            r"FlashInfer requires GPUs with sm75 or higher",  # also where it cannot tell what a newer GPU is
            r"(No such file or directory|cannot find the \w{4} specified): '[^'\n]{0,300}(site|dist)-packages",
            r"TypeError: \S{1,120}\(\) got an unexpected keyword argument '",
            *(r"xFormers can't load C\+\+/CUDA extensions", r"Error building extension '"),
            (
                r"(site|dist)-packages[^\n\"]{1,300}\.py\", line \d[^\n]{1,200}\n[^\n]{1,300}\n[^\w]{0,300}"
                r"(?P<said>AttributeError: '(?!(NoneType|str|dict|list|tuple|int|float|bool|Tensor|PreTrainedConfig)')"
                r"\w{1,80}' object has no attribute ')"
            ),
        ),
    ),
)


# Never installed by a pasted command: the vendor's build may be the only one that works on this machine.
VENDORS = frozenset({"torch", "torchvision", "torchaudio", "triton", "numpy", "jax", "tensorflow"})
# These ask for no torch, so that pip cannot replace it on their account; all others are installed without what they
# depend on.
_HARMLESS = frozenset(
    {
        *("transformers", "tokenizers", "safetensors", "huggingface-hub", "sentencepiece", "tiktoken", "protobuf"),
        *("jinja2", "kernels", "packaging", "tqdm", "pyyaml", "requests", "regex", "filelock", "einops"),
    }
)
# Pairs that do not import together although neither's metadata says so.
_BREAKS = (
    ("peft", "<0.18", "transformers", ">=5", "peft before 0.18 imports names that transformers 5 no longer has"),
)


def lacking(session: InterpreterFacts, needed: Needed, what: str, *, alternatives: Iterable[str] = ()) -> Finding:
    """Return the finding for a package that is not installed; `what` says what needs it."""
    others = [a for a in alternatives if a != needed.name]
    also = f" (or {join_limited(others)})" if others else ""
    return finding(
        "package-missing",
        f"{what} needs {printable(needed.name)}{printable(needed.versions)}{also}, which is not installed in the "
        f"sessions' interpreter ({printable(session.executable)})",
        evidence={"python": session.executable, "package": needed.name, "alternatives": others},
        fix=_install(session, needed),
    )


def _install(session: InterpreterFacts, needed: Needed) -> Fix:
    python = shell_quote(session.executable)
    if needed.name in VENDORS:
        return Fix(
            summary=f"Install {printable(needed.name)} in the build that fits this machine's accelerator, as its "
            "vendor says (on Jetson: NVIDIA's wheel). A plain `pip install` may bring one for the CPU only.",
            commands=(f"{python} -m pip list",),
        )
    word = shell_quote(f"{needed.name}{needed.versions}")
    if needed.name in _HARMLESS:
        return Fix(
            summary="Install it into that interpreter's environment.",
            commands=(f"{python} -m pip install {word}",),
        )
    return Fix(
        summary="Install it into that interpreter's environment without its dependencies: it depends on torch, and pip "
        "might replace the one that works here. `pip check` then lists what else is missing.",
        commands=(f"{python} -m pip install --no-deps {word}", f"{python} -m pip check"),
    )


def unmet(session: InterpreterFacts, requirements: Iterable[str], what: str) -> Iterator[Finding]:
    """Yield a finding for each requirement (as pip takes them) that the sessions' interpreter does not meet."""
    for text in requirements:
        needed = read_requirement(text)
        if needed is None or not applies(needed.marker, session.version):
            continue
        version = session.version_of(needed.name)
        if version is None:
            yield lacking(session, needed, what)
        elif satisfies(version, needed.versions) is not True:
            told = satisfies(version, needed.versions) is not None
            yield finding(
                "package-version",
                f"{what} needs {printable(needed.name)}{printable(needed.versions)}, and the sessions' interpreter has "
                f"{printable(version, limit=80)}" + ("" if told else ", which cannot be compared"),
                severity=None if told else "warning",
                evidence={"package": needed.name, "installed": version, "wanted": needed.versions},
                fix=_install(session, needed),
            )


def conflicts(session: InterpreterFacts) -> Iterator[Finding]:
    """Yield what the installed packages ask of each other and do not get, as their own metadata says."""
    installed = {plain_name(n): v for n, v in session.packages.items() if v is not None}
    for owner, texts in session.needs.items():
        for text in texts:
            needed = read_requirement(text)
            if needed is None or needed.name not in installed or not needed.versions:
                continue
            version = installed[needed.name]
            if satisfies(version, needed.versions) is False and applies(needed.marker, session.version):
                # transformers compares at import and refuses; what others ask for is merely asked for.
                refuses = plain_name(owner) == "transformers" and needed.name in ("tokenizers", "huggingface-hub")
                said = f"{owner} {session.packages[owner]} asks for {needed.name}{needed.versions}"
                yield _apart(session, said, needed.name, version, severity=None if refuses else "warning")
    for one, old, other, new, why in _BREAKS:
        first, second = installed.get(one), installed.get(other)
        if first and second and satisfies(first, old) and satisfies(second, new):
            yield _apart(session, f"{why}: {one} is {first}", other, second, severity="warning")


def _apart(session: InterpreterFacts, said: str, name: str, version: str, *, severity: Any) -> Finding:
    return finding(
        "package-version",
        f"incompatible packages: {printable(said)}, and {printable(name)} is {printable(version)}",
        severity=severity,
        evidence={"package": name, "installed": version, "python": session.executable},
        fix=Fix(
            summary="Upgrade the older one, one package at a time and never torch. Name the version you want, and "
            "check what pip is about to change.",
            commands=(
                f"{shell_quote(session.executable)} -m pip check",
                f"{shell_quote(session.executable)} -m pip install --dry-run --upgrade transformers peft tokenizers",
            ),
        ),
    )
