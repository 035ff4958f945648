"""Where a model is said to be, and the configuration that says what it is."""

from __future__ import annotations

from sage_doctor.findings.declaration import Declaration, declare

TITLE = "Paths and configuration"
DECLARATIONS = declare(
    Declaration(
        code="path-missing",
        severity="error",
        title="The model's path does not exist",
        cause="Where a local path does not exist, transformers takes it for the name of a model on the hub, which is "
        "why its message speaks of a 'repo id' and not of a missing directory.",
        remediation="Correct the path in the manifest, or bring the model here: copy it from a machine that has it, "
        "download it, or build it with `sage-doctor merge`.",
        shows=(
            r"Repo id must be in the form 'repo_name' or 'namespace/repo_name': '[/~]",
            *(r"failed to open GGUF file '.{1,400}?' \(No such file or directory\)", r"NO_SUCHFILE : Load model from "),
            *(r"(failed to open|\b(stat|open)) \S{1,300}\.gguf: [Nn]o such file", r"Model path does not exist: "),
            r"unable to open file <.{1,400}?> in read-only mode: No such file",
            *(r"… is not a local folder and is not a valid model identifier", r"Incorrect path_or_model_id: '[/~.]"),
            r"Invalid repository ID or local directory specified: '[/~.]",
            r"… is not a local folder or a valid repository name",
        ),
        may_show=(
            *(r"Repo id must be in the form 'repo_name' or 'namespace/repo_name'", r"Incorrect path_or_model_id: '"),
            *(r"Cannot find any model weights with `/", r"Repo id must use alphanumeric chars"),
            *(r"Can't load the configuration of '/", r"Can't load the model for '/"),
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
        shows=(*(r"\[Errno 20\] Not a directory", r"NotADirectoryError"),),
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
        shows=(
            *(r"failed to open GGUF file '.{1,400}?' \(Permission denied\)", r"Permission denied \((os error )?13\)"),
            *(r"PermissionError at .{1,400}? when downloading", r"open .{1,400}?: permission denied"),
            *(r"\[WinError 5\] Access is denied", r"\[Errno 13\] Permission denied"),
        ),
        may_show=(r"Permission denied$",),
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
            r"Invalid repository ID or local directory specified: '",
            r"Error no file named \S{1,80}\.json found in directory",
            r"… does not appear to have a file named config\.json",
            r"Entry Not Found for url: \S{1,300}/config\.json",
        ),
        may_show=(r"Can't load the configuration of '", r"No supported config format found in "),
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
            r"The model's quantization config from the arguments has no `quant_method` attribute",
            r"(hidden_size|embed_dim) must be divisible by (num_heads|`?num_attention_heads)",
            r"The hidden size \(\d{1,9}\) is not a multiple of the number of attention heads",
            r"The config you are passing has a `model_type` attribute that is not consistent",
            *(r"The embed_dim \(\d{1,9}\) is not a multiple of the number of attention heads", r"Unexpected UTF-8 BOM"),
            r"Model config: \w{1,60} must be `None` or an integer within the vocabulary",
            r"Supplied state dict for \S{1,300} does not contain `bitsandbytes__\*`",
            r"It looks like the config file at '.{1,400}?' is not (a )?valid JSON",
            r"`num_hidden_layers` \(\d{1,9}\) must be equal to the number of",
            *(r"Missing required keys in `rope_(parameters|scaling)`", r"rope_scaling should have a 'rope_type' key"),
            *(r"Padding_idx must be within num_embeddings", r"Did not found a `quantization_config` in"),
            *(r"FP4 quantization state not initialized", r"`quant_state` item with ending from"),
        ),
        may_show=(r"Unrecognized model in .{1,400}? Should have a `model_type` key",),
    ),
    Declaration(
        code="config-type-unknown",
        severity="error",
        title="The program that loads the model does not know its type",
        cause="The model is newer than the transformers or the server that loads it, or made for another program, or "
        "its type is misspelt in config.json.",
        remediation="Upgrade the program that the message is from. For transformers do so in the sessions' "
        "environment; on Jetson use `--no-deps`, so that pip does not replace torch.",
        shows=(
            r"Transformers does not recognize this architecture\. This could be because",
            (
                r"The checkpoint you are trying to load has model type `\S{1,80}` but Transformers does not "
                r"recognize"
            ),
            r"Unrecognized model identifier(:| in) \S{1,300} Should contains? one of",
            r"Unrecognized model type for subconfig: \S{1,80} Should contain one of",
            (
                r"KeyError: "
                r"'(qwen|llama|gemma|mistral|mixtral|phi|smollm|granite|olmo|deepseek|glm|gpt_|internlm|ernie|falcon|cohere)\w{0,40}'"
            ),
            r"unknown model architecture: '",
            r"(ValueError|failed): Model type … not supported\.",
            r"is not a registered model in the Transformers library",
            r"unsupported architecture( \\?\"|$)",
            r"Model architectures .{1,300}? are not supported for now",
            r"Model architectures .{1,300}? failed to be inspected",
            r"GGUF model with architecture \S{1,80} is not supported yet",
            r"Unknown gguf model_type: \S{1,80} in gguf-py",
            r"Unknown quantization type, got \S{1,80} - supported types are",
            r"Unknown quantization method: \S{1,80} Must be one of",
            r"unsupported model format$",
        ),
        may_show=(r"CONFIG_MAPPING.{0,1500}?(?P<said>KeyError: '[a-z0-9_]{2,40}'$)",),
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
            r"Please pass the argument `trust_remote_code=True` to allow custom code",
            r"The repository (for )?\S{1,400} contains custom code which must be executed",
            r"Loading (\S{1,400}|this model) requires you to execute (custom|the configuration)",
            r"Do you wish to run the custom code\?",
        ),
    ),
    Declaration(
        code="custom-code-missing",
        severity="error",
        title="The model's own Python code is missing",
        cause="The architecture, the tokenizer or the processor is not part of transformers: its classes are in .py "
        "files that were not copied, or in another repository, which was never downloaded.",
        remediation="Copy the .py files from where the model comes from, beside config.json; or download the "
        "repository that auto_map names, once, while there is a network.",
        shows=(
            r"does not appear to have a file named \S{1,200}?\.py\b",
            r"This modeling file requires the following packages",
            r"FileNotFoundError: .{0,400}?(modeling|configuration)_\w+\.py",
        ),
    ),
)
