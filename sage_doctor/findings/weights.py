"""The weights as files: there, whole, readable as what their name says, and fitting their configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sage_doctor.findings.declaration import Declaration, declare
from sage_doctor.findings.making import finding
from sage_doctor.findings.restore import bring_back, lfs_pull
from sage_doctor.report import Finding, Fix
from sage_doctor.text import printable

if TYPE_CHECKING:
    from sage_doctor.readers.safetensors_header import Header
    from sage_doctor.subjects.model import Model

TITLE = "Weights"
DECLARATIONS = declare(
    Declaration(
        code="weights-missing",
        severity="error",
        title="The directory holds no weights",
        cause="Configuration or tokenizer are there, but no file with weights: the directory was prepared and never "
        "filled, or version control carried everything except the large files.",
        remediation="Build the weights with `sage-doctor merge` where the model is a merge, copy them from a machine "
        "that has them, or download them.",
        shows=(
            r"no file named .{1,200}?found in directory",
            r"does not appear to have a file named (pytorch_model\.bin|model\.safetensors)",
        ),
    ),
    Declaration(
        code="weights-lfs-pointer",
        severity="error",
        title="The weights are a Git LFS pointer, not the file",
        cause="Git checked out the three-line pointer that stands for the file, because Git LFS was not installed or "
        "was told to skip it. A loader reads the pointer's first bytes as an impossible header size.",
        remediation="Run `git lfs install` once, then `git lfs pull --include` with the file's path in the checkout.",
        shows=(r"header too large", r"version https://git-lfs", r"Unsupported operand 118", r"invalid load key, 'v'"),
    ),
    Declaration(
        code="weights-not-safetensors",
        severity="error",
        title="The file is something else than its name says",
        cause="Under a safetensors name lies an HTML page, a text, an archive or another weights format. A download "
        "that saved a login or error page is the usual reason.",
        remediation="Delete the file and fetch it again; look at its first line to see what answered instead.",
        shows=(
            r"invalid header (deserialization|start)|InvalidHeader\b",
            r"invalid load key, '<'",
        ),
        may_show=(r"header too large",),
    ),
    Declaration(
        code="weights-empty",
        severity="error",
        title="A weights file is empty",
        cause="The file has no bytes, or fewer than its header needs. A full disk or an interrupted copy leaves such "
        "files behind.",
        remediation="Make room if the disk is full, then fetch or copy the file again.",
        shows=(r"header too small", r"EOFError: Ran out of input"),
    ),
    Declaration(
        code="weights-truncated",
        severity="error",
        title="A weights file ends too early",
        cause="The header promises more bytes than the file has: a download or copy was cut off.",
        remediation="Fetch or copy the file again, and compare its size with the source. The finding says what lacks.",
        shows=(
            r"incomplete metadata, file not fully covered|MetadataIncompleteBuffer",
            r"invalid header length|InvalidHeaderLength",
            r"PytorchStreamReader failed (reading zip archive|finding central directory)",
        ),
    ),
    Declaration(
        code="weights-oversized",
        severity="error",
        title="A weights file is longer than its header says",
        cause="Bytes follow after the last tensor: two downloads were written into one file, or something was "
        "appended. safetensors refuses such a file as a whole.",
        remediation="Fetch the file again. Do not cut it by hand: which part is right is not known.",
        may_show=(r"incomplete metadata, file not fully covered|MetadataIncompleteBuffer",),
    ),
    Declaration(
        code="weights-header-invalid",
        severity="error",
        title="The header of a weights file contradicts itself",
        cause="The table of tensors at the start of the file is not valid: broken JSON, tensors that overlap or leave "
        "holes, or sizes that do not match their shapes.",
        remediation="Fetch the file again. If the source has the same fault, convert it again with a current "
        "safetensors.",
        shows=(
            r"InvalidOffset|TensorInvalidInfo|InvalidHeaderDeserialization",
            r"invalid offset for tensor",
        ),
        may_show=(r"Error while deserializing header",),
    ),
    Declaration(
        code="weights-unreadable",
        severity="error",
        title="A weights file cannot be read",
        cause="Permissions keep the session's user out, or a pipe, socket, device or directory lies where a weights "
        "file should be. Opening a pipe would hang for ever.",
        remediation="Give the session's user read permission, or remove what is not a file and fetch the weights "
        "again.",
        shows=(r"Permission denied.{0,300}?\.(safetensors|bin)\b", r"Is a directory: '.{1,300}?\.(safetensors|bin)'"),
    ),
    Declaration(
        code="shard-missing",
        severity="error",
        title="Part of the weights is missing",
        cause="The index names files that are not there: the download stopped between two shards, or only some were "
        "copied.",
        remediation="Fetch the files the finding lists; the others need not be fetched again.",
        shows=(
            r"No such file or directory:? .{0,400}?-\d{5}-of-\d{5}\.(safetensors|bin)",
            r"does not appear to have a file named \S{1,200}-\d{5}-of-\d{5}\.",
        ),
    ),
    Declaration(
        code="shard-index-missing",
        severity="error",
        title="The weights are in shards, but their index is missing",
        cause="Files named like `model-00001-of-00002.safetensors` are there, and no index says which tensor lies in "
        "which. A loader looks for the index, not for the shards, and reports that there are no weights.",
        remediation="Rebuild the index from the headers with `sage-doctor fix`, or copy it from the source.",
        may_show=(r"no file named .{1,200}?found in directory",),
    ),
    Declaration(
        code="shard-index-invalid",
        severity="error",
        title="The index of the shards cannot be used",
        cause="The index file is not valid JSON, or lacks `metadata` or `weight_map`. transformers then ends with a "
        "bare KeyError that names neither the file nor the model.",
        remediation="Rebuild the index from the headers with `sage-doctor fix`, or copy it from the source.",
        shows=(r"KeyError: '(metadata|weight_map)'", r"get_checkpoint_shard_files.{0,600}?(KeyError|IndexError)"),
    ),
    Declaration(
        code="shard-index-mismatch",
        severity="error",
        title="Index and shards disagree",
        cause="The index assigns tensors to files that do not hold them, or leaves out tensors that the files hold. "
        "What a loader does not find, it fills with random numbers and says so only in a warning.",
        remediation="Rebuild the index from the headers with `sage-doctor fix`. If tensors are missing from all "
        "shards, fetch the model again.",
        shows=(r"File does not contain tensor",),
    ),
    Declaration(
        code="shard-path-escape",
        severity="error",
        title="The index points outside the model's directory",
        cause="A file name in the index or in the configuration is absolute or climbs out with `..`. A loader would "
        "follow it and take weights from somewhere else, without a word.",
        remediation="Do not use this directory until you know who wrote the index. Fetch the model again from a source "
        "you trust.",
    ),
    Declaration(
        code="weights-ambiguous",
        severity="warning",
        title="Two sets of weights lie side by side",
        cause="A loader takes `model.safetensors` before shards, and safetensors before `.bin`, whichever is newer. A "
        "stale file can thus win silently over a fresh one.",
        remediation="Find out which set is meant and move the other one out of the directory.",
    ),
    Declaration(
        code="weights-pickle-only",
        severity="warning",
        title="The weights are stored only as a pickle",
        cause="A pickle can run code when it is loaded. Current transformers refuses it with torch before 2.6, and "
        "torch itself had such a hole until 2.10.",
        remediation="Convert the weights to safetensors once, in a throw-away environment, from a source you trust.",
        shows=(
            r"upgrade torch to at least v2\.6",
            r"CVE-2025-32434",
            r"Weights only load failed",
        ),
    ),
    Declaration(
        code="weights-shape-mismatch",
        severity="error",
        title="Weights and config.json do not fit together",
        cause="Shapes in the weights differ from those that config.json asks for: the two come from different models, "
        "or the vocabulary was resized and only one of them saved.",
        remediation="Take config.json from where the weights come from. Never load with ignore_mismatched_sizes: it "
        "replaces what does not fit by random numbers.",
        shows=(
            r"You set `ignore_mismatched_sizes` to `False`",
            r"size mismatch for (?!\S*lora_)\S+: copying a param",
            r"Reinit due to size mismatch",
        ),
    ),
    Declaration(
        code="weights-private-mode",
        severity="warning",
        title="Only their owner may read the weights",
        cause="The files have mode 0600, which recent safetensors gives to every file it writes, and belong to another "
        "user than the session's.",
        remediation="Give the session's user or group read permission.",
        may_show=(r"PermissionError.{0,300}?\.safetensors",),
    ),
    Declaration(
        code="weights-keys-missing",
        severity="error",
        title="The weights lack tensors that the model needs",
        cause="Tensors were saved under other names, or not at all. transformers fills the gap with random numbers and "
        "only prints a warning: the model answers, in nonsense. A tied output layer is not counted as missing.",
        remediation="Fetch the model again. If it was saved from a wrapped model, its names need their prefix removed.",
        shows=(
            r"were not initialized from the model checkpoint",
            r"newly initialized:",
            r"\|\s*MISSING\s*\|",
        ),
    ),
    Declaration(
        code="weights-keys-unexpected",
        severity="warning",
        title="The weights hold tensors that the model ignores",
        cause="The file holds tensors for which the architecture has no place: a head of another task, or names with a "
        "prefix left over from training.",
        remediation="Check that no layer is missing under its right name. If the extra tensors are from a head you do "
        "not use, nothing needs to be done.",
        shows=(r"Some weights of the model checkpoint at .{1,300}? were not used", r"\|\s*UNEXPECTED\s*\|"),
    ),
)


def broken_header(model: Model, broken: Sequence[tuple[str, Header]]) -> Finding:
    """Return the finding for files that are no whole safetensors files: the first one's, naming the others."""
    name, header = broken[0]
    problem = header.problem
    assert problem is not None  # the caller chose files with a problem
    others = [n for n, _ in broken[1:]]
    more = f", and {len(others)} more file(s) are broken" if others else ""
    summary = "Fetch it again." if not others else "Fetch them again."
    fix = bring_back(model, [n for n, _ in broken])
    if problem.code == "weights-lfs-pointer":
        fix = lfs_pull(model, [n for n, h in broken if h.problem and h.problem.code == "weights-lfs-pointer"])
    elif problem.code == "weights-not-safetensors" and problem.evidence.get("content") == "a GGUF model":
        fix = Fix(summary="Rename it to .gguf and load it with gguf_file=…, or fetch the safetensors version.")
    else:
        fix = dataclasses.replace(fix, summary=f"{summary} {fix.summary}")
    return finding(
        problem.code,
        f"{printable(name)}: {printable(problem.message)}{more}",
        evidence={"file": name, **problem.evidence, **({"also_broken": others[:50]} if others else {})},
        fix=fix,
    )
