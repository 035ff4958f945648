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
        shows=(r"Can't find 'adapter_config\.json' at '", r"Entry Not Found for url: \S{1,300}/adapter_config\.json"),
    ),
    Declaration(
        code="adapter-config-invalid",
        severity="error",
        title="adapter_config.json cannot be used",
        cause="The file is not a JSON object, has a peft_type that the sessions' PEFT does not know, or is no "
        "adapter's: a full model's configuration ends with an unexpected `_name_or_path`.",
        remediation="Restore the file from where the adapter was trained.",
        shows=(
            r"peft/(config|mapping\w*)\.py\".{0,2000}?(?P<said>(KeyError|json\.decoder\.JSONDecodeError))",
            r"KeyError: 'peft_type'",
            r"PEFT_TYPE_TO_(CONFIG|PREFIX)_MAPPING.{0,600}?(?P<said>KeyError)",
            (
                r"PeftConfig\.__init__\(\) got an unexpected keyword argument "
                r"'(_name_or_path|_from_model_config|architectures|hidden_size|model_type|vocab_size|torch_dtype|transformers_version)'"
            ),
            r"\w{1,60} config that is trying to be loaded is missing required keys",
            r"Invalid task type: '",
            r"Unknown PEFT type passed: ",
            r"Missing required configuration fields: ",
            r"'SimpleNamespace' object has no attribute '(num_layers|lora_parameters|fine_tune_type)'",
        ),
    ),
    Declaration(
        code="adapter-weights-missing",
        severity="error",
        title="The adapter has no weights",
        cause="Without adapter_model.safetensors PEFT takes a local path for the name of a repository on the hub, and "
        "complains about a 'repo id'.",
        remediation="Copy adapter_model.safetensors from where the adapter was trained.",
        shows=(
            r"Please check that the file adapter_model\.bin or adapter_model\.safetensors is present",
            r"Can't find weights for .{1,400}? in .{1,400}? or in the Hugging Face Hub",
            *(r"Loading lora .{1,100}? failed: No adapter found for", r"adapter model file not found in"),
            r"… doesn't contain tensors$",
        ),
        may_show=(
            r"(peft_model|save_and_load)\.py\".{0,3000}?(?P<said>Repo id must be in the form)",
            r"Repo id must be in the form 'repo_name' or 'namespace/repo_name': '[/~]",
        ),
    ),
    Declaration(
        code="adapter-weights-empty",
        severity="error",
        title="The adapter's weights are empty",
        cause="A partitioned training run (DeepSpeed ZeRO-3) saved the adapter without gathering its weights first.",
        remediation="Save the adapter again from the training checkpoint, with the weights gathered.",
        shows=(
            r"size mismatch for base_model\.model\.\S{1,300}: copying a param with shape torch\.Size\(\[0\]\)",
            (r"size mismatch for \S{0,300}lora_\w{1,40}\S{0,100}: copying a param with shape " r"torch\.Size\(\[0\]\)"),
            r"Adapter .{1,100}?: \d{1,6} LoRA tensor\(s\) have invalid shape",
        ),
    ),
    Declaration(
        code="adapter-weights-pickle",
        severity="warning",
        title="The adapter's weights are stored as a pickle",
        cause="adapter_model.bin can run code when it is loaded, and current libraries refuse it with torch before "
        "2.6.",
        remediation="Load the adapter once in a disposable environment and save it again: PEFT writes safetensors.",
        shows=(r"adapter_model\.bin.{0,2000}?(?P<said>Weights only load failed)",),
    ),
    Declaration(
        code="adapter-base-unset",
        severity="error",
        title="The adapter does not name its base",
        cause="A loader has no model to put the adapter on.",
        remediation="Name the base in the manifest (`base = …`). Take the one the adapter was trained on: matching "
        "shapes do not prove it, because a base and its fine-tuned versions have the same ones.",
        shows=(
            r"Repo id must be a string, not <class 'NoneType'>",
            r"\bNone is not a local folder and is not a valid model identifier",
        ),
        may_show=(r"We couldn't connect to 'https://huggingface\.co'",),
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
            r"Could not find a config file in .{1,400}? will assume that the vocabulary was not modified",
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
        cause="An adapter works only on the whole model that it was trained on, and its base is not whole as it "
        "stands.",
        remediation="Repair the base first; the finding says what is wrong with it.",
    ),
    Declaration(
        code="adapter-shape-mismatch",
        severity="error",
        title="The adapter's shapes do not match its base",
        cause="The adapter was trained on a model of another size, vocabulary or number of labels, or its matrices "
        "were saved in another layout.",
        remediation="Find the base it was trained on. A wrong base is far more often the cause than a damaged adapter.",
        shows=(
            r"size mismatch for \S{0,300}lora_\w{1,40}\S{0,100}: copying a param with shape",
            r"size mismatch for base_model\.model\.\S{1,300}: copying a param with shape",
            r"Incompatible shapes found for LoRA weights",
            r"LoRA added vocab size \d{1,9} is greater than lora_extra_vocab_size",
            r"tensor '.{1,200}?' has incorrect shape \(hint: maybe wrong base model\?\)",
        ),
    ),
    Declaration(
        code="adapter-rank-mismatch",
        severity="error",
        title="The adapter's rank differs from its configuration",
        cause="Configuration and weights come from different training runs.",
        remediation="Copy both files from the same checkpoint.",
        may_show=(r"size mismatch for \S{0,300}lora_\w{1,40}\S{0,100}: copying a param with shape",),
        shows=(
            r"LoRA rank \d{1,9} is greater than max_lora_rank",
            # The rank is another, and the width is the same.
            (
                r"size mismatch for \S{0,300}lora_A\S{0,100}: copying a param with shape "
                r"torch\.Size\(\[\d{1,7}, (\d{1,7})\]\) from checkpoint, the shape in current model is "
                r"torch\.Size\(\[\d{1,7}, \1\]\)"
            ),
        ),
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
        cause="The layers that the adapter changes do not exist in this base: it was trained on another architecture, "
        "or with another transformers, which builds routers and experts from modules that PEFT cannot adapt. A "
        "target_modules that takes what holds layers (`.*self_attn.*`), a norm or an activation is refused as well.",
        remediation="Find the base it was trained on, and the versions of transformers and peft.",
        shows=(
            r"LoRA tensor '.{1,200}?' does not exist in base model \(hint: maybe wrong base model\?\)",
            r"\[PEFT:\w{1,60}\] Module '\S{1,100}?' is incompatible with Mamba-based models",
            r"While loading .{1,400}?, expected target modules in .{1,800}? but received",
            r"No `target_modules` passed but also no `target_parameters` found",
            r"Cannot convert PEFT target\(s\) .{1,200}? without also targeting",
            r"target_modules=.{1,400}? were set but no module was matched",
            r"Target module .{1,400}? is not supported(\. Currently, only|\.?$)",
            *(r"Target modules .{1,800}? not found in the base model", r"Model .{1,200}? is not supported for LoRA"),
            *(r"Please specify `target_modules` in `peft_config`", r"No modules were targeted for adaptation"),
        ),
    ),
    Declaration(
        code="adapter-keys-unmatched",
        severity="error",
        title="The adapter's weights are not applied to the base",
        cause="PEFT skips tensors whose names it does not expect, and leaves modules without tensors as they are, with "
        "one warning at most: the model behaves like its base. A module of modules_to_save that the file does not have "
        "ends in a bare KeyError.",
        remediation="Rename the tensors to `base_model.model.….lora_A.weight`, or save the adapter again with PEFT's "
        "save_pretrained.",
        shows=(
            r"Found missing adapter keys while loading the checkpoint",
            r"set_peft_model_state_dict.{0,600}?(?P<said>KeyError: '\S{1,300}')",
            r"KeyError: 'base_model\.model\.",
            r"Missing key\(s\) in state_dict: \"base_model\.model\.",
            r"Unexpected key\(s\) in state_dict: \"base_model\.model\.",
            r"Loading adapter weights from .{1,400}? led to (unexpected|missing) keys",
            *(r"LoRA tensor '\S{1,200}' has unexpected suffix", r"Unexpected name '\S{1,200}': Not a lora_A or lora_B"),
            *(r"… is unsupported LoRA weight", r"lora key not loaded: "),
            *(r"LoRA version mismatch for ", r"Failed to match keys when loading Lora"),
            # Of diffusers.
            *(
                r"Invalid LoRA checkpoint\. Make sure all LoRA param",
                r"`(original|old)_state_dict` should be (empty )?at",
            ),
        ),
        may_show=(r"KeyError: '[\w.]{1,200}\.weight'",),
    ),
    Declaration(
        code="adapter-auto-class",
        severity="info",
        title="AutoPeftModel does not load this adapter",
        cause="AutoPeftModel builds the base with the Auto class of the adapter's task, which has no class for a base "
        "of this type, or one with other modules. TRL saves adapters of models for images and text as CAUSAL_LM.",
        remediation="Load the base with its own class and put the adapter on it with PeftModel.",
    ),
    Declaration(
        code="adapter-tied-embeddings",
        severity="warning",
        title="The adapter trains an embedding that the base ties",
        cause="In the base, input embedding and output layer are one tensor, and the adapter puts a LoRA on it. "
        "PEFT merges it into both, so that the merged and the unmerged model answer differently.",
        remediation="Run it as an adapter, or merge with `sage-doctor merge`, which writes both tensors or refuses.",
        shows=(
            r"Model (with|has) `tie_word_embeddings=True` and .{0,200}? part of the adapter",
            r"Model with `tie_word_embeddings=True` and the tied_target_modules",
        ),
    ),
    Declaration(
        code="adapter-left-beside-weights",
        severity="error",
        title="An adapter lies beside weights that may already hold it",
        cause="transformers puts an adapter that it finds in a model's directory on top of the weights there. Where "
        "merged or trained weights were saved into the adapter's directory, it is applied twice.",
        remediation="Move adapter_config.json and adapter_model.* out of the directory.",
    ),
    Declaration(
        code="adapter-already-merged",
        severity="warning",
        title="The adapter's base holds it already",
        cause="A session that puts the adapter on this base applies it twice. The base's own record names the adapter.",
        remediation="Run the base without the adapter, or name the base that the adapter was trained on.",
    ),
    Declaration(
        code="adapter-init-mutates-base",
        severity="warning",
        title="The adapter's initialisation changes the base",
        cause="PiSSA and OLoRA subtract a part of the base's weights at every load, so that a second adapter on the "
        "same base is wrong. What pissa_niter, CorDA, LoftQ and LoRA-GA subtracted in training is not repeated by a "
        "load: the model is not the one that was trained.",
        remediation="Use the residual base saved in training, or convert the adapter to plain LoRA when saving it.",
        shows=(r"init_lora_weights['\x22]?[=:] ?['\x22](pissa|olora|corda|loftq|lora_ga)",),
    ),
    Declaration(
        code="adapter-unmergeable",
        severity="info",
        title="This kind of adapter cannot be merged",
        cause="Prompt-based and routing adapters are not a change of weights that could be added to a base, and some "
        "LoRA options have no exact merge.",
        remediation="Load it as an adapter on its base. If a role needs a merged model, train a plain LoRA.",
        shows=(
            *(r"Merging LORA layers is not supported for", r"has no attribute 'merge_and_unload'"),
            *(r"Cannot merge \w{1,60} (layers|with)", r"Merging/unmerging is not available"),
            r"Cannot hot-swap adapter '",
        ),
        may_show=(r"merg\w{1,10} is not (supported|possible)",),
    ),
    Declaration(
        code="adapter-config-newer",
        severity="warning",
        title="The adapter was saved by a newer PEFT",
        cause="Older PEFT versions fail on options that they do not know, newer ones ignore them, which may change "
        "what the adapter does.",
        remediation="Upgrade peft in the sessions' environment without replacing torch.",
        shows=(
            r"\w{1,60}Config\.__init__\(\) got an unexpected keyword argument '",
            (
                r"TypeError: __init__\(\) got an unexpected keyword argument "
                r"'(corda_config|eva_config|lora_bias|exclude_modules|trainable_token_indices|use_dora|use_rslora|layer_replication|megatron_config|loftq_config|alpha_pattern|rank_pattern)'"
            ),
            r"Unexpected keyword arguments .{1,400}? for class \w{1,60}Config, these are ignored",
            r"Unknown PEFT type \w{1,60}, please add an entry",
            r"ValueError: '\w{2,40}' is not a valid PeftType",
        ),
    ),
)
# The checks that must be passed before an adapter is compared with its base: of its own files, and of the base's.
WITH_BASE = (
    *("check_path", "check_hub", "check_hub_blobs", "check_adapter_config", "check_adapter_weights"),
    *("check_weights_readable", "check_adapter_keys", "check_adapter_patterns", "check_adapter_base"),
    *("check_adapter_base_sound", "check_weights_present", "check_weights_whole", "check_shards_present"),
    *("check_shard_index", "check_config"),
)
