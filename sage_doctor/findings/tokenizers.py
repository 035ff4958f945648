"""The tokenizer: there, readable, and no larger than the model's embedding."""

from __future__ import annotations

from sage_doctor.findings.declaration import Declaration, declare

TITLE = "Tokenizer"
DECLARATIONS = declare(
    Declaration(
        code="tokenizer-missing",
        severity="error",
        title="The tokenizer is missing",
        cause="The model loads, but text cannot be turned into tokens.",
        remediation="Copy the tokenizer files from the model this one was made from.",
        shows=(
            *(r"Unrecognized configuration class .{1,300}? to build an AutoTokenizer", r"Can't load tokenizer for '"),
            r"… does not appear to have a file named tokenizer(_config)?\.json",
            r"Not found: \".{1,300}?\": No such file or directory Error #2",
            *(r"Couldn't instantiate the backend tokenizer", r"cannot find tokenizer merges in model file"),
            *(r"cannot find tokenizer vocab in model file", r"Can't load a .{0,60}?tokenizer from '"),
        ),
    ),
    Declaration(
        code="tokenizer-invalid",
        severity="error",
        title="A tokenizer file cannot be used",
        cause="The file is truncated, is a Git LFS pointer, or was written by a newer tokenizers library than the "
        "sessions have.",
        remediation="Fetch the file again. If it is complete, upgrade tokenizers and transformers in the sessions' "
        "environment.",
        shows=(
            r"(PreTrainedTokenizerFast|tokenization_utils).{0,2000}?json\.decoder\.JSONDecodeError",
            *(r"Unk token `.{1,100}?` not found in the vocabulary", r"data did not match any variant of untagged enum"),
            *(r"The `unk_id` is larger than vocabulary size", r"Missing \[UNK\] token from the vocabulary"),
            *(r"Token `.{1,100}?` out of vocabulary", r"Merges text file invalid at line", r"KeyError: 'added_tokens'"),
            *(r"could not parse ModelProto from", r"\[model_proto->ParseFromArray\(", r"unknown pre-tokenizer type: '"),
            *(r"Error while initializing BPE", r"Unknown tokenizer version '", r"Bad vocabulary json file"),
            r"TypeError: not a string$",
        ),
        may_show=(
            r"expected (value|`,` or `}`|ident) at line \d{1,9} column \d{1,9}",
            *(r"Couldn't instantiate the backend tokenizer", r"expected value at line 1 column 1"),
        ),
    ),
    Declaration(
        code="tokenizer-vocab-overflow",
        severity="error",
        title="The tokenizer has more tokens than the model",
        cause="The tokenizer belongs to another model, or tokens were added and the resized weights not saved. "
        "Generation fails on the first text with such a token: with an IndexError on a CPU, with a device-side "
        "assertion on a GPU.",
        remediation="Use the tokenizer that was saved with these weights, or the resized weights if tokens were added "
        "in training.",
        shows=(
            r"indexSelect\w{0,20}Index: .{0,300}? Assertion `srcIndex < srcSelectDimSize`",
            *(r"\w{1,40}: block: .{0,100}? Assertion `t >= 0 && t < n_classes` failed", r"index out of range in self$"),
            r"Assertion `srcIndex < srcSelectDimSize` failed",
            *(r"Token id \d{1,9} is out of vocabulary", r"index_select\(\).{0,60}?out of range"),
        ),
        may_show=(r"device-side assert triggered",),
    ),
    Declaration(
        code="chat-template-missing",
        severity="warning",
        title="The tokenizer has no chat template",
        cause="Without a template, the format of a conversation is not defined. Sessions that build the prompt by hand "
        "may drift from how the model was trained.",
        remediation="Copy chat_template.jinja, or the field in tokenizer_config.json, from the base model.",
        shows=(
            *(r"As of transformers v4\.44, default chat template", r"default chat template is no longer allowed"),
            *(r"tokenizer\.chat_template is not set", r"Template error: template not found"),
        ),
    ),
    Declaration(
        code="processor-missing",
        severity="warning",
        title="The processor of images or sound is missing",
        cause="The model takes images or sound, and what prepares them is in files of its own, which trainers often "
        "leave out of what they save. Where it takes text as well, text alone works.",
        remediation="Copy preprocessor_config.json, and processor_config.json if there is one, from the base model.",
        shows=(
            r"Can't load (image processor|feature extractor|processor|video processor) for '",
            r"Unrecognized (image processor|processing class|video processor) in",
            r"does not appear to have a file named (pre)?processor_config\.json",
        ),
    ),
    Declaration(
        code="module-missing",
        severity="error",
        title="A part of the sentence-transformers model is missing",
        cause="The model is more than its weights: modules.json names directories for pooling and other layers, which "
        "a copy of the files alone leaves out.",
        remediation="Copy the whole directory (`rsync -a`, `cp -r`), or download the model again.",
        shows=(r"No such file or directory: .{0,300}?(\d_(Pooling|Dense|LayerNorm|CNN|LSTM)|[/\\]modules\.json)",),
        may_show=(r"No sentence-transformers model found with name",),
    ),
)
