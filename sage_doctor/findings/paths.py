"""Where a model is said to be, and the configuration that says what it is."""

from __future__ import annotations

from sage_doctor.findings.declaration import Declaration, declare

TITLE = "Paths and configuration"
DECLARATIONS = declare(
    Declaration(
        code="path-missing",
        severity="error",
        title="The model's path does not exist",
        cause="Nothing lies at the declared path. transformers then takes the path for the name of a model on the hub, "
        "which is why its message speaks of a 'repo id' and not of a missing directory.",
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
        title="The path lies in another machine's or user's home",
        cause="The path was written down on another machine, or for another user, and does not exist here.",
        remediation="Say in the manifest where the model lies on this machine, with a variable such as `{zoo}` for the "
        "part that differs. In scripts, ask `sage-doctor where MODEL` or `sage_doctor.resolve` instead of naming a "
        "home.",
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
        title="The path is a link to nothing",
        cause="A symbolic link lies at the path, or on the way to it, and what it points to is gone: moved, deleted, "
        "or on a disk that is not mounted.",
        remediation="Mount the disk, or point the link to where the model lies now.",
        shows=(r"Too many levels of symbolic links",),
    ),
    Declaration(
        code="path-unreadable",
        severity="error",
        title="The session's user may not read the directory",
        cause="The permissions of the directory, or of one above it, keep the session's user out. It may still work "
        "for root or for the user who copied the files.",
        remediation="Give the session's user read permission on the files and search permission (x) on every directory "
        "above.",
        shows=(r"PermissionError: \[Errno 13\]",),
        may_show=(r"Permission denied",),
    ),
    Declaration(
        code="config-missing",
        severity="error",
        title="There is no config.json",
        cause="Without config.json nothing says which architecture the weights belong to. Auto classes refuse; a "
        "concrete class silently builds its default model, often one of seven billion parameters.",
        remediation="Copy config.json from the model this one was made from, or fetch the directory again.",
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
        cause="The file is not a JSON object, or its sizes contradict each other, so that no model can be built from "
        "it. A byte-order mark, a cut-off download or a Git LFS pointer are the usual reasons.",
        remediation="Restore config.json from the model's source. Edit it by hand only where the finding names the "
        "line.",
        shows=(
            r"It looks like the config file at '.{1,400}?' is not (a )?valid JSON",
            r"Unexpected UTF-8 BOM",
            r"(hidden_size|embed_dim) must be divisible by (num_heads|`?num_attention_heads)",
        ),
        may_show=(r"Unrecognized model in .{1,400}? Should have a `model_type` key",),
    ),
    Declaration(
        code="config-type-unknown",
        severity="error",
        title="The session's transformers does not know this model",
        cause="The model type in config.json is newer than the transformers that the session runs with, or misspelt.",
        remediation="Upgrade transformers in the session's environment to the version the finding names. Leave torch "
        "as it is on Jetson: upgrade with `--no-deps` there.",
        shows=(
            r"Transformers does not recognize this architecture",
            r"Unrecognized model identifier",
            r"KeyError: '(qwen|llama|gemma|mistral|phi|smollm|granite|olmo)\w*'",
        ),
    ),
    Declaration(
        code="custom-code",
        severity="warning",
        title="The model brings Python code of its own",
        cause="config.json names classes in Python files beside the weights. Loading the model as intended would run "
        "them; without consent, transformers asks a question on the terminal, and an unattended session hangs.",
        remediation="Read the code, pin the revision, and set trust_remote_code explicitly in the session. The doctor "
        "itself never runs it.",
        shows=(
            r"Please pass the argument `trust_remote_code=True`",
            r"contains custom code which must be executed",
            r"Do you wish to run the custom code\?",
        ),
    ),
)
