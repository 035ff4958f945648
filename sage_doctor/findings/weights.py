"""The weights as files: there, whole, readable as what their name says, and fitting their configuration."""

from __future__ import annotations

from sage_doctor.findings.declaration import Declaration, declare

TITLE = "Weights"
DECLARATIONS = declare(
    Declaration(
        code="weights-missing",
        severity="error",
        title="The directory has no weights",
        cause="No file with weights is in the directory: it was prepared and never filled, its disk is not mounted, "
        "or version control carried everything except the large files.",
        remediation="Build the weights with `sage-doctor merge` if the model is a merge; otherwise copy them from a "
        "machine that has them, or download them.",
        shows=(
            r"Error no file named (?!\S{1,80}\.json).{1,300}?found in directory",
            r"… does not appear to have a file named (pytorch_model\.bin|model\.safetensors)",
            *(r"Can't load the model for '", r"Cannot find any model weights with `"),
            *(r"No model weights found in: `", r"… is not a folder containing a `\.index\.json` file or a"),
            *(r"No safetensors found in ", r"Could not find the quantized model in \.pt or \.safetensors format"),
            *(r"Neither a state dict nor checkpoint files were found", r"Unable to open file 'model\.bin' in model '"),
        ),
    ),
    Declaration(
        code="weights-lfs-pointer",
        severity="error",
        title="The weights are a Git LFS pointer, not the file",
        cause="Git checked out the three-line pointer instead of the file: Git LFS was not installed, or was told to "
        "skip it. A loader reads the first bytes of the pointer as an impossible header size.",
        remediation="Install git-lfs, then run `sage-doctor fix`: it fetches the files without running what the "
        "repository's configuration names. In a repository that you trust, `git lfs pull` does the same.",
        shows=(
            *(r"cloned a repository without having git-lfs installed", r"version https://git-lfs\.github\.com/spec/v1"),
            *(r"invalid magic characters: 'vers', expected 'GGUF'", r"Unsupported operand 118", r"header too large"),
            *(r"invalid load key, 'v'", r"HeaderTooLarge"),
        ),
        ends=(r"external filter 'git-lfs filter-process' failed", r"smudge filter lfs failed"),
    ),
    Declaration(
        code="weights-not-safetensors",
        severity="error",
        title="The file is not what its name says",
        cause="The file is an HTML page, a text, an archive or another weights format. The usual reason is a download "
        "that saved a login or error page.",
        remediation="Delete the file and fetch it again, in the format that the program loads (GGUF for llama.cpp). "
        "Its first line shows what the server sent instead.",
        shows=(
            *(r"Unable to instantiate model: Model format not supported", r"file in archive is not in a subdirectory"),
            *(r"invalid magic characters: '.{0,40}?', expected 'GGUF'", r"Invalid magic number; corrupt file\?"),
            *(r"gguf_init_from_file: invalid magic (character|number)", r"invalid UTF-8 in header", r"InvalidHeader"),
            r"llama_apply_lora_from_file_internal: bad file magic",
            *(r"invalid load key, '<'", r"invalid header start", r"invalid file magic$", r"InvalidHeaderStart"),
        ),
        may_show=(
            *(r"header too large", r"HeaderTooLarge", r"unknown \(magic, version\) combination: "),
            r"Unable to load weights from pytorch checkpoint file",
        ),
    ),
    Declaration(
        code="weights-empty",
        severity="error",
        title="A weights file is empty",
        cause="A full disk or an interrupted copy leaves such files behind.",
        remediation="Free disk space if the disk is full, then fetch or copy the file again.",
        shows=(
            *(r"header too small", r"HeaderTooSmall", r"EOFError: Ran out of input"),
            *(r"cannot mmap an empty file", r"failed to read magic$"),
        ),
    ),
    Declaration(
        code="weights-truncated",
        severity="error",
        title="A weights file is truncated",
        cause="The header describes more bytes than the file has: a download or copy was cut off.",
        remediation="Fetch or copy the file again, and compare its size with the source.",
        shows=(
            r"tensor '.{1,200}?' data is not within the file bounds, (model|file) is corrupted or incomplete",
            r"INVALID_PROTOBUF : Load model from .{1,300}? ?failed: ?Protobuf parsing failed",
            *(r"tensor .{1,200}? offset\+size \(\d{1,20}\) exceeds file size", r"unexpectedly reached end of file"),
            *(r"unexpected EOF, expected \d{1,20} more bytes. The file might", r"MetadataIncompleteBuffer"),
            *(r"PytorchStreamReader failed finding central directory", r"incomplete metadata, file not fully covered"),
            *(r"PytorchStreamReader failed reading zip archive", r"PytorchStreamReader failed reading file"),
            *(r"invalid header length", r"InvalidHeaderLength"),
        ),
        may_show=(r"Unable to load weights from (pytorch )?checkpoint file for '",),
    ),
    Declaration(
        code="weights-oversized",
        severity="error",
        title="A weights file is longer than its header says",
        cause="Two downloads were written into one file, or something was appended. safetensors refuses such a file as "
        "a whole.",
        remediation="Fetch the file again. Do not truncate it by hand: it is not known which part is right.",
        may_show=(r"incomplete metadata, file not fully covered", r"MetadataIncompleteBuffer"),
    ),
    Declaration(
        code="weights-header-invalid",
        severity="error",
        title="The header of a weights file contradicts itself",
        cause="The header is broken JSON, its tensors overlap or leave gaps, or their sizes do not match their shapes.",
        remediation="Fetch the file again. If the source has the same fault, convert it again with a current "
        "safetensors.",
        shows=(
            r"safetensors.torch\.py.{0,400}?(?P<said>RuntimeError: shape '\[.{1,60}?\]' is invalid for input of size)",
            *(r"The safetensors archive passed at .{1,400}? does not contain the valid metadata", r"TensorInvalidInfo"),
            *(r"overflow computing buffer size from shape and/or element type", r"invalid header deserialization"),
            *(r"Incompatible safetensors file\. File metadata is not", r"Invalid torchao safetensors metadata"),
            *(r"invalid shape, data type, or offset for tensor", r"InvalidHeaderDeserialization", r"InvalidOffset"),
            *(r"invalid offset for tensor", r"invalid JSON in header", r"ValidationOverflow"),
        ),
        may_show=(r"Error while deserializing header",),
    ),
    Declaration(
        code="weights-unreadable",
        severity="error",
        title="A weights file cannot be read",
        cause="Permissions keep the session's user out, or the name belongs to a pipe, socket, device or directory. "
        "Opening a pipe would hang forever.",
        remediation="Give the session's user read permission, or replace what is not a regular file with the real "
        "weights.",
        shows=(
            *(r"Permission denied.{0,300}?\.safetensors", r"Permission denied.{0,300}?\.bin"),
            *(r"Permission denied.{0,300}?\.gguf", r"Is a directory: '.{1,300}?\.(safetensors|bin|gguf)'"),
        ),
    ),
    Declaration(
        code="shard-missing",
        severity="error",
        title="Shards are missing",
        cause="The download stopped between two shards, or only some of them were copied.",
        remediation="Fetch the shards that the finding lists; the others need not be fetched again.",
        shows=(
            r"No such file or directory:? .{0,400}?-\d{5}-of-\d{5}\.(safetensors|bin)",
            r"… does not appear to have (a file named \S{1,200}-\d{5}-of-\d{5}\.|files named \()",
            (
                r"… does not appear to have a file named \S{1,200} which is required according to the "
                r"checkpoint index"
            ),
            r"failed to load GGUF split from",
        ),
    ),
    Declaration(
        code="shard-index-missing",
        severity="error",
        title="The index of the shards is missing",
        cause="A loader looks for the index, not for the shards, and reports that there are no weights.",
        remediation="Rebuild the index from the shards' headers with `sage-doctor fix`, or copy it from the source.",
        may_show=(r"Error no file named (?!\S{1,80}\.json).{1,300}?found in directory",),
        shows=(r"Can't find a checkpoint index \(",),
    ),
    Declaration(
        code="shard-index-invalid",
        severity="error",
        title="The index of the shards is not valid",
        cause="The index is not valid JSON, or has no `metadata` or no `weight_map`. transformers then fails with a "
        "bare KeyError that names neither the file nor the model.",
        remediation="Rebuild the index from the shards' headers with `sage-doctor fix`, or copy it from the source.",
        shows=(
            *(r"KeyError: 'metadata'", r"KeyError: 'weight_map'"),
            r"get_checkpoint_shard_files.{0,600}?(KeyError|IndexError)",
        ),
    ),
    Declaration(
        code="shard-index-mismatch",
        severity="error",
        title="Index and shards disagree",
        cause="A loader fills tensors that it does not find with random numbers, and says so only in a warning.",
        remediation="Rebuild the index from the shards' headers with `sage-doctor fix`. If tensors are in none of the "
        "shards, fetch the model again.",
        shows=(r"File does not contain tensor",),
    ),
    Declaration(
        code="shard-path-escape",
        severity="error",
        title="The index points outside the model's directory",
        cause="A file name in the index or in the configuration is absolute or contains `..`. A loader would follow it "
        "silently and read weights from somewhere else.",
        remediation="Do not use this directory until you know who wrote the index. Fetch the model again from a source "
        "you trust.",
    ),
    Declaration(
        code="weights-ambiguous",
        severity="warning",
        title="There are two sets of weights",
        cause="A loader takes `model.safetensors` before shards, and safetensors before `.bin`, whichever is newer. A "
        "stale file can thus win silently over a fresh one.",
        remediation="Find out which set is right, and move the other one out of the directory.",
    ),
    Declaration(
        code="weights-pickle-only",
        severity="warning",
        title="The weights are stored only as a pickle",
        cause="Loading a pickle can run code. Current transformers refuses it with torch before 2.6, and torch itself "
        "was vulnerable until 2.10.",
        remediation="Convert the weights to safetensors once, in a disposable environment, from a source you trust.",
        shows=(
            *(r"upgrade torch to at least v2\.6", r"we now require users to upgrade torch to at least"),
            *(r"CVE-2025-32434 .{0,60}?torch", r"Weights only load failed"),
            r"Cannot use ``weights_only=True`` with files saved in the legacy",
        ),
    ),
    Declaration(
        code="weights-shape-mismatch",
        severity="error",
        title="The weights do not match config.json",
        cause="Weights and config.json come from different models, or the vocabulary was resized and only one of the "
        "two saved.",
        remediation="Take config.json from where the weights come from. Never load with ignore_mismatched_sizes: it "
        "replaces every tensor that does not fit with random numbers.",
        shows=(
            r"You set `ignore_mismatched_sizes` to `False`",
            r"size mismatch for (?!base_model)(?!\S{0,300}lora_)\S{1,300}: copying a param",
            r"Reinit due to size mismatch",
            (
                r"Some weights of \S{1,100} were not initialized from the model checkpoint at .{1,400}? and "
                r"are newly initialized because the shapes did not match"
            ),
            r"Trying to set a tensor of shape .{1,120}? in .{1,200}? \(which has shape",
            r"tensor '.{1,200}?' has wrong (shape; expected|size in model file)",
            r"mat1 and mat2 shapes cannot be multiplied",
            r"assert (param_data|loaded_weight)\.shape.{0,300}?(?P<said>AssertionError)",
            r"Attempted to load weight \(.{0,100}?\) into parameter \(",
            r"Expected shape \(.{1,60}?\) but received shape",
        ),
    ),
    Declaration(
        code="weights-private-mode",
        severity="warning",
        title="Only the owner can read the weights",
        cause="The files have mode 0600, which recent safetensors gives to every file it writes, and belong to another "
        "user than the one that runs sessions.",
        remediation="Give the session's user or group read permission.",
        may_show=(r"PermissionError: .{0,300}?\.safetensors",),
    ),
    Declaration(
        code="weights-keys-missing",
        severity="error",
        title="Tensors that the model needs are missing",
        cause="Tensors were saved under other names, or not at all. transformers fills the gap with random numbers and "
        "only prints a warning: the model answers nonsense. A tied output layer does not count as missing.",
        remediation="Fetch the model again. If it was saved from a wrapped model, remove the prefix from its tensor "
        "names.",
        shows=(
            *(r"Some weights of \S{1,100} were not initialized from the model checkpoint", r"newly initialized: \["),
            *(r"(Some |Following )?weights (were|are) not initialized from checkpoints?", r"missing tensor '"),
            *(r"This checkpoint seem corrupted\. The tied weights mapping", r"… \| MISSING \|"),
            *(r"tensor '\S{1,200}' (not found|is missing from model)", r"ValueError: Missing \d{1,6} parameters: "),
            *(r"Missing key\(s\) in state_dict: \"(?!base_model)", r"RuntimeError: weight \S{1,200} does not exist"),
        ),
        may_show=(r"KeyError: '[\w.]{1,200}\.weight'",),
    ),
    Declaration(
        code="weights-keys-unexpected",
        severity="warning",
        title="The weights have tensors that the model ignores",
        cause="The architecture has no parameters of these names: they are the head of another task, or carry a prefix "
        "left over from training.",
        remediation="Check that no layer is missing under its right name. Nothing to do if the extra tensors are a "
        "head that you do not use.",
        shows=(
            *(r"Some weights of the model checkpoint at .{1,400}? were not used", r"… \| UNEXPECTED \|"),
            r"Received \d{1,6} parameters not in model",
            *(r"unknown tensor '\S{0,200}' in model file", r"There is no module or parameter named '\S{1,200}' in \w"),
            r"Unexpected key\(s\) in state_dict: \"(?!base_model)",
            r"load_weights.{0,600}?(?P<said>KeyError: '[\w.]{1,200}')",
        ),
        may_show=(r"wrong number of tensors; expected \d{1,9}, got",),
    ),
)
