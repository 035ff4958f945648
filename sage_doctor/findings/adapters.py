"""Adapters: their configuration, their weights, and the base they were trained on."""

from __future__ import annotations

from sage_doctor.findings.declaration import Declaration, declare

TITLE = "Adapters"
DECLARATIONS = declare(
    Declaration(
        code="adapter-config-missing",
        severity="error",
        title="adapter_config.json is missing",
        cause="The weights of an adapter do not say what kind of adapter it is, or which base it needs.",
        remediation="Copy adapter_config.json from where the adapter was trained.",
        shows=(r"Can't find 'adapter_config\.json' at '",),
    ),
    Declaration(
        code="adapter-config-invalid",
        severity="error",
        title="adapter_config.json cannot be used",
        cause="The file is not a JSON object, or the sessions' PEFT does not know its peft_type.",
        remediation="Restore the file from where the adapter was trained.",
        shows=(
            r"peft/(config|mapping\w*)\.py.{0,2000}?(KeyError|JSONDecodeError)",
            r"KeyError: 'peft_type'",
            r"PEFT_TYPE_TO_(CONFIG|PREFIX)_MAPPING.{0,600}?KeyError",
        ),
    ),
    Declaration(
        code="adapter-weights-missing",
        severity="error",
        title="The adapter has no weights",
        cause="PEFT takes a local path without adapter_model.safetensors for a name on the hub, and complains about a "
        "'repo id'.",
        remediation="Copy adapter_model.safetensors from where the adapter was trained.",
        shows=(r"Please check that the file adapter_model\.bin or adapter_model\.safetensors is present",),
        may_show=(
            r"(peft_model|save_and_load)\.py.{0,3000}?Repo id must be in the form",
            r"Repo id must be in the form 'repo_name' or 'namespace/repo_name': '[/~]",
        ),
    ),
    Declaration(
        code="adapter-weights-empty",
        severity="error",
        title="The adapter's weights are empty",
        cause="A partitioned training run (DeepSpeed ZeRO-3) saved the adapter without gathering its weights first.",
        remediation="Save the adapter again from the training checkpoint, with the weights gathered.",
        shows=(r"size mismatch for \S+: copying a param with shape torch\.Size\(\[0\]\)", r"torch\.Size\(\[0\]\)"),
    ),
    Declaration(
        code="adapter-weights-pickle",
        severity="warning",
        title="The adapter's weights are stored as a pickle",
        cause="adapter_model.bin can run code when it is loaded, and current libraries refuse it with torch before "
        "2.6.",
        remediation="Load the adapter once in a disposable environment and save it again: PEFT writes safetensors.",
        shows=(r"adapter_model\.bin.{0,2000}?Weights only load failed",),
    ),
    Declaration(
        code="adapter-base-unset",
        severity="error",
        title="The adapter does not name its base",
        cause="A loader has no model to put the adapter on.",
        remediation="Name the base in the manifest (`base = …`). Take the one the adapter was trained on: matching "
        "shapes do not prove it, because a base and its fine-tuned versions have the same ones.",
        shows=(r"Repo id must be a string, not <class 'NoneType'>",),
        may_show=(r"couldn't connect to 'https://huggingface\.co'",),
    ),
    Declaration(
        code="adapter-base-missing",
        severity="error",
        title="The adapter's base model is not on this machine",
        cause="An adapter holds only the changes to a base model, and the base its configuration names cannot be found "
        "here. Often the name is a path that made sense only where the adapter was trained.",
        remediation="Name the base in the manifest (`base = …`) once it is here; the finding lists candidates. "
        "Matching shapes do not prove that it is the right base: its origin does.",
        shows=(
            r"Can't load the configuration of '\.{0,2}/",
            r"Repo id must be in the form 'repo_name' or 'namespace/repo_name': '\.",
            r"Could not find a config file in .{1,300}? will assume that the vocabulary was not modified",
        ),
        may_show=(r"Repo id must be in the form 'repo_name' or 'namespace/repo_name': '[/~]",),
    ),
    Declaration(
        code="adapter-base-relative",
        severity="warning",
        title="The base is found only beside the adapter",
        cause="A loader resolves a relative path from the directory the session was started in, not from the adapter: "
        "it works from one directory and fails from every other.",
        remediation="Name the base by a model of the manifest, an absolute path or a hub name.",
    ),
    Declaration(
        code="adapter-base-broken",
        severity="error",
        title="The adapter's base model is broken",
        cause="The adapter cannot be loaded without its base.",
        remediation="Repair the base first; the finding says what is wrong with it.",
    ),
    Declaration(
        code="adapter-shape-mismatch",
        severity="error",
        title="The adapter's shapes do not match its base",
        cause="The adapter was trained on a model of another size, or with another vocabulary.",
        remediation="Find the base it was trained on. A wrong base is far more often the cause than a damaged adapter.",
        shows=(r"size mismatch for \S*lora_\w+", r"size mismatch for base_model\.model\."),
    ),
    Declaration(
        code="adapter-rank-mismatch",
        severity="error",
        title="The adapter's rank differs from its configuration",
        cause="Configuration and weights come from different training runs.",
        remediation="Copy both files from the same checkpoint.",
        may_show=(r"size mismatch for \S*lora_\w+",),
    ),
    Declaration(
        code="adapter-pattern-unbounded",
        severity="error",
        title="A pattern in adapter_config.json takes too long to match",
        cause="PEFT takes rank_pattern, alpha_pattern, target_modules and exclude_modules for regular expressions. One "
        "with repetitions inside repetitions can take longer than any session waits, and PEFT sets no limit.",
        remediation="Replace the pattern by the names of the modules, or restore adapter_config.json.",
    ),
    Declaration(
        code="adapter-targets-missing",
        severity="error",
        title="The base has none of the adapter's target modules",
        cause="The layers that the adapter changes do not exist in this base: it was trained on another architecture.",
        remediation="Find the base it was trained on.",
        shows=(
            r"Target modules .{1,800}? not found in the base model",
            r"No modules were targeted for adaptation",
        ),
    ),
    Declaration(
        code="adapter-keys-unmatched",
        severity="error",
        title="The adapter's weights are not applied to the base",
        cause="PEFT skips tensors whose names it does not expect, and leaves modules without tensors as they are, with "
        "one warning at most: the model behaves like its base.",
        remediation="Rename the tensors to `base_model.model.….lora_A.weight`, or save the adapter again with PEFT's "
        "save_pretrained.",
        shows=(r"Found missing adapter keys while loading the checkpoint", r"missing adapter keys"),
    ),
    Declaration(
        code="adapter-tied-embeddings",
        severity="warning",
        title="The adapter trains an embedding that the base ties",
        cause="In the base, input embedding and output layer are one tensor, and the adapter changes one of the two. "
        "The merged and the unmerged model then answer differently.",
        remediation="Run it as an adapter, or merge with `sage-doctor merge`, which writes both tensors or refuses.",
        shows=(r"tie_word_embeddings=True.{0,400}?(merg|embed|tied)", r"tied (layers|weights|modules).{0,200}?adapter"),
    ),
    Declaration(
        code="adapter-init-mutates-base",
        severity="warning",
        title="The adapter's initialisation changes the base",
        cause="PiSSA and OLoRA subtract a part of the base's weights at every load, so that a second adapter on the "
        "same base is wrong. What pissa_niter, CorDA, LoftQ and LoRA-GA subtracted in training is not repeated by a "
        "load: the model is not the one that was trained.",
        remediation="Use the residual base saved in training, or convert the adapter to plain LoRA when saving it.",
        shows=(r"init_lora_weights.{0,200}?(pissa|olora|corda|loftq|lora_ga)",),
    ),
    Declaration(
        code="adapter-unmergeable",
        severity="info",
        title="This kind of adapter cannot be merged",
        cause="Prompt-based and routing adapters are not a change of weights that could be added to a base, and some "
        "LoRA options have no exact merge.",
        remediation="Load it as an adapter on its base. If a role needs a merged model, train a plain LoRA.",
        shows=(r"has no attribute 'merge_and_unload'|Cannot merge", r"merg\w+ is not (supported|possible)"),
    ),
    Declaration(
        code="adapter-config-newer",
        severity="warning",
        title="The adapter was saved by a newer PEFT",
        cause="Older PEFT versions fail on options that they do not know, newer ones ignore them, which may change "
        "what the adapter does.",
        remediation="Upgrade peft in the sessions' environment without replacing torch.",
        shows=(
            r"__init__\(\) got an unexpected keyword argument",
            r"Unexpected keyword arguments .{1,300}? for class \w+Config, these are ignored",
        ),
    ),
)
