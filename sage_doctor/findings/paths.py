"""Where a model is said to be, and the configuration that says what it is."""

from __future__ import annotations

from sage_doctor.findings.declaration import Declaration, declare

TITLE = "Paths and configuration"
DECLARATIONS = declare(
    Declaration(
        code="path-missing",
        severity="error",
        title="The model's path does not exist",
        cause="transformers takes a local path that does not exist for the name of a model on the hub, which is why "
        "its message speaks of a 'repo id' and not of a missing directory.",
        remediation="Correct the path in the manifest, or bring the model here: copy it from a machine that has it, "
        "download it, or build it with `sage-doctor merge`.",
        shows=(
            r"Repo id must be in the form 'repo_name' or 'namespace/repo_name': '[/~]",
            r"Incorrect path_or_model_id: '[/~.]",
            r"is not a local folder (and is not|or) a valid (model identifier|repository name)",
        ),
        may_show=(
            r"Repo id must be in the form 'repo_name' or 'namespace/repo_name'",
            r"Can't load the configuration of '/",
        ),
    ),
    Declaration(
        code="path-foreign-home",
        severity="error",
        title="The path is in another machine's or user's home",
        cause="The path was written on another machine, or for another user, and does not exist here.",
        remediation="Write the path in the manifest with a variable, such as `{zoo}/…`, that each machine sets to its "
        "own directory. In scripts, call `sage-doctor where MODEL` or `sage_doctor.resolve` instead of hard-coding a "
        "home directory.",
        may_show=(
            r"PermissionError: \[Errno 13\] Permission denied: '/(home|Users)/",
            r"Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/(home|Users)/",
            r"No such file or directory: '/(home|Users)/",
        ),
    ),
    Declaration(
        code="path-not-directory",
        severity="error",
        title="The path is not a directory",
        cause="A model is a directory of files, and the declared path leads to a single file or a special file.",
        remediation="Name the directory that holds config.json, not a file in it.",
        shows=(r"NotADirectoryError",),
    ),
    Declaration(
        code="path-dangling-symlink",
        severity="error",
        title="The path is a broken symbolic link",
        cause="The target of the symbolic link was moved or deleted, or is on a disk that is not mounted.",
        remediation="Mount the disk, or point the link to where the model is now.",
        shows=(r"Too many levels of symbolic links",),
    ),
    Declaration(
        code="path-unreadable",
        severity="error",
        title="The session's user cannot read the path",
        cause="The permissions of the path, or of a directory above it, keep the session's user out. It may still work "
        "for root or for the user who copied the files.",
        remediation="Give the session's user read permission on the files and search permission (x) on every directory "
        "above them.",
        shows=(r"PermissionError: \[Errno 13\]",),
        may_show=(r"Permission denied",),
    ),
    Declaration(
        code="config-missing",
        severity="error",
        title="config.json is missing",
        cause="Without config.json a loader cannot tell the architecture. Auto classes refuse to load; a concrete "
        "class silently builds its default model, often one of seven billion parameters.",
        remediation="Copy config.json from the model this one was made from, or fetch the model again.",
        shows=(
            r"Unrecognized model in .{1,400}? Should have a `model_type` key",
            r"does not appear to have a file named config\.json",
        ),
        may_show=(r"Can't load the configuration of '",),
    ),
    Declaration(
        code="config-invalid",
        severity="error",
        title="config.json cannot be used",
        cause="The file is not a JSON object, or what it says contradicts itself, the weights or the sessions' "
        "transformers. The usual reasons are a byte-order mark, a download that was cut off, a Git LFS pointer, or a "
        "setting left over from another model.",
        remediation="Restore config.json from the model's source. Edit it by hand only if the finding names the line.",
        shows=(
            r"It looks like the config file at '.{1,400}?' is not (a )?valid JSON",
            r"Unexpected UTF-8 BOM",
            r"Padding_idx must be within num_embeddings",
            r"Missing required keys in `rope_(parameters|scaling)`",
            r"does not contain `bitsandbytes__\*`",
            r"(hidden_size|embed_dim) must be divisible by (num_heads|`?num_attention_heads)",
        ),
        may_show=(r"Unrecognized model in .{1,400}? Should have a `model_type` key",),
    ),
    Declaration(
        code="config-type-unknown",
        severity="error",
        title="The sessions' transformers does not know this model",
        cause="The model is newer than the transformers that sessions run with, or its type is misspelt in "
        "config.json.",
        remediation="Upgrade transformers in the sessions' environment. On Jetson use `--no-deps`, so that pip does "
        "not replace torch.",
        shows=(
            r"Transformers does not recognize this architecture",
            r"Unrecognized model identifier",
            r"KeyError: '(qwen|llama|gemma|mistral|phi|smollm|granite|olmo)\w*'",
        ),
    ),
    Declaration(
        code="custom-code",
        severity="warning",
        title="The model needs Python code of its own",
        cause="config.json names classes in Python files beside the weights. Loading the model as intended runs them; "
        "without `trust_remote_code`, transformers asks on the terminal, and an unattended session hangs.",
        remediation="Read the code, pin the revision, and set trust_remote_code explicitly in the session. sage-doctor "
        "itself never runs it.",
        shows=(
            r"Please pass the argument `trust_remote_code=True`",
            r"contains custom code which must be executed",
            r"Do you wish to run the custom code\?",
        ),
    ),
    Declaration(
        code="custom-code-missing",
        severity="error",
        title="The model's own Python code is missing",
        cause="The architecture is not part of transformers: its classes are in .py files that were not copied, or in "
        "another repository, which was never downloaded.",
        remediation="Copy the .py files from where the model comes from, beside config.json; or download the "
        "repository that auto_map names, once, while there is a network.",
        shows=(
            r"does not appear to have a file named \S{1,200}?\.py\b",
            r"This modeling file requires the following packages",
            r"FileNotFoundError: .{0,400}?(modeling|configuration)_\w+\.py",
        ),
    ),
)
