"""What only a log tells: no check looks for it, because it is over before one could, or is not on this machine."""

from __future__ import annotations

from sage_doctor.findings import logged_system
from sage_doctor.findings.declaration import Declaration, declare
from sage_doctor.findings.tracebacks import MESSAGES

TITLE = "Seen only in logs"
DECLARATIONS = logged_system.DECLARATIONS + declare(
    Declaration(
        code="service-loading",
        severity="info",
        title="The service is still loading its model",
        cause="llama.cpp's server answers 503 with this message until the model is in memory. It is no fault.",
        remediation="Wait, and ask again. If it never ends, look at the service's log for the load's own error.",
        shows=(
            *(r"\"message\\?\" ?: ?\\?\"Loading model\\?\"", r"503 .{0,60}?Loading model$"),
            *(r"\ALoading model\s?\Z", r"'message': 'Loading model'"),
        ),
    ),
    Declaration(
        code="service-option-invalid",
        severity="error",
        title="An option of the service does not fit model or machine",
        cause="The command that starts the service asks for what this model, this machine or this version of the "
        "service cannot do: too many GPUs to split it over, another quantisation, a longer context, an unknown option.",
        remediation="Change or remove the option that the message names, where the service is started.",
        shows=(
            r"Quantization method specified in the model config \(\S{1,60}\) does not match the quantization method",
            r"Total number of attention heads \(\d{1,9}\) must be divisible by tensor parallel size",
            r"(GGUF quantization hasn't supported|BitsAndBytes models with) tensor parallelism",
            r"(api_server\.py|vllm|launch_server\.py): error: unrecognized arguments: ",
            *(r"User-specified max_model_len \(\d{1,9}\) is greater than the derived", r"ArgumentValidation\(\"`max_"),
            *(r"(input|output) size is not aligned with the quantized weight shape", r"error: invalid argument: -"),
            r"World size \(\d{1,6}\) is larger than the number of available GPUs",
            r"number of required GPUs exceeds the total number of available",
            *(r"BitAndBytes quantization with TP or PP is not supported", r"LoRA is not enabled\. Use --enable-lora"),
            *(r"Consider reducing tensor_parallel_size", r"do(es)? not support max_model_len greater than \d"),
        ),
    ),
    Declaration(
        code="model-class-mismatch",
        severity="error",
        title="The session's class does not fit the model",
        cause="The auto class that the session names has no model for this configuration: the model is of another "
        "kind, such as one for images and speech, or a newer transformers added it.",
        remediation="Load it with the class that `architectures` in config.json or the model's page names, or upgrade "
        "transformers in the sessions' environment.",
        shows=(
            r"Unrecognized configuration class .{1,300}? for this kind of AutoModel: \w{1,80}",
            r"The model class you are passing has a `config_class` attribute that is not consistent",
            r"Cannot infer the auto class from the config",
            r"'\w{1,60}(Model|ForSequenceClassification|ForTokenClassification)' object has no attribute 'generate'",
            r"Expected target PEFT class: \w{1,80}, but you have asked for: ",
        ),
        may_show=(r"Unrecognized configuration class .{1,300}? to build an AutoTokenizer",),
    ),
    Declaration(
        code="dtype-unsupported",
        severity="error",
        title="The device cannot compute in this dtype",
        cause="The operation exists for other number formats only: 16 bits on a CPU, bfloat16 or FP8 on an older GPU; "
        "or two parts of the model have different ones.",
        remediation="Load the model with `dtype=torch.float32` on a CPU, or with one that the GPU supports.",
        shows=(
            r"Flash Attention (2|2\.0|3) only supports torch\.float16 and torch\.bfloat16 dtypes",
            r"FP8 quantized models is only supported on GPUs with compute capability",
            r"is not supported for quantization method \w{1,40}\. Supported dtypes",
            r"(expected )?mat1 and mat2 (must|to) have the same dtype, but got",
            r"Input type \(\S{1,20}\) and bias type \(\S{1,20}\) should be the",
            r"Bfloat16 is only supported on GPUs with compute capability",
            *(r"Requested \w{1,20} compute type, but the target device", r"Cannot load safetensors of unknown dtype"),
            *(r"The model type '?\w{1,60}'? does not support float16", r"Cannot convert a MPS Tensor to float64 dtype"),
            *(r"type fp8e\w{1,8} not supported in this architecture", r"\"\w{1,80}\" not implemented for '\w{1,40}'"),
            r"expected scalar type \w{1,20} but found",
        ),
    ),
    Declaration(
        code="prompt-too-long",
        severity="error",
        title="The prompt is longer than the context",
        cause="Prompt and answer together have more tokens than the model, or the context the service was started "
        "with, can hold.",
        remediation="Shorten the prompt or the history, or start the service with a larger context if memory and "
        "model allow it.",
        shows=(
            r"the request exceeds the available context size",
            r"request \(\d{1,9} tokens\) exceeds the available context size",
            r"Input length \(\d{1,9} tokens\) exceeds the maximum allowed length",
            r"This model's maximum context length is \d{1,9} tokens",
            *(r"is longer than the maximum model length of \d{1,9}", r"the prompt is longer than the context length"),
            *(r"Context size has been exceeded", r"input length of input_ids is \d{1,9}, but `max_length` is set to"),
        ),
        may_show=(
            r"The size of tensor a \(\d{3,6}\) must match the size of tensor b \((512|514|1024|2048|4096|8192)\)",
        ),
    ),
    Declaration(
        code="hub-access-denied",
        severity="error",
        title="The hub does not give out this model",
        cause="The repository is gated, private or does not exist under this name; the hub answers the same for all "
        "three to somebody without a token.",
        remediation="Check the name. Accept the model's terms on its page, and log in as the session's user: `hf auth "
        "login`, or HF_TOKEN in the unit.",
        shows=(
            *(r"You are trying to access a gated repo", r"… is a gated repository\. Make sure to request access"),
            *(r"Cannot access gated repo for url", r"Access to model \S{1,200} is restricted"),
            r"Repository Not Found for url: ",
            # transformers says so where the hub has answered 401 or 404. A relative path looks the same.
            r"(?<![^\s:])[\w-][\w.-]{0,95}/[\w.-]{1,96} is not a local folder and is not a valid model identifier",
            *(r"401 Client Error\W", r"403 Client Error\W"),
            *(r"Revision Not Found for url: ", r"is not a valid git identifier \(branch name, tag name or commit id\)"),
            *(r"Invalid (username or password|user token)\.", r"Token is required \(`token=True`\)"),
        ),
    ),
    Declaration(
        code="hub-unavailable",
        severity="error",
        title="The hub does not serve requests for now",
        cause="The Hugging Face hub limits how often an address or a token may ask, or has a fault of its own. "
        "Nothing is "
        "wrong with the model or this machine.",
        remediation="Wait, then try again. A token (`hf auth login`) allows more requests, and fewer workers make "
        "fewer. "
        "Once the model is in the cache, HF_HUB_OFFLINE=1 asks the hub nothing.",
        shows=(
            r"429 Client Error: .{0,60}? for url: https?://\S{0,60}(huggingface|hf)\.co",
            r"429 Too Many Requests(: you have reached your '| for url: https?://\S{0,60}(huggingface|hf)\.co)",
            r"\b5\d\d Server Error: .{0,60}? for url: https?://\S{0,60}(huggingface|hf)\.co",
        ),
    ),
    Declaration(
        code="kernel-too-large",
        severity="error",
        title="A compiled kernel needs more than this GPU has",
        cause="Triton compiled a kernel whose blocks take more shared memory or registers than this GPU offers: it was "
        "written for a larger one.",
        remediation="Upgrade the package that the traceback names, or let it use another attention backend. It is not "
        "about the memory for weights: a smaller model does not help.",
        shows=(r"out of resources?: (shared memory|registers|threads|tensor memory), Required: ",),
    ),
    Declaration(
        code="operator-unsupported",
        severity="error",
        title="The device lacks an operation that the model uses",
        cause="torch has not implemented it for this kind of device (Apple's MPS, mostly), or not in the version of "
        "torch "
        "or macOS that is installed.",
        remediation="Set PYTORCH_ENABLE_MPS_FALLBACK=1 before Python starts, so that the CPU does it; or upgrade torch "
        "and macOS; or load the model on the CPU.",
        shows=(
            r"The operator '\S{1,120}' is not currently (implemented|supported) (for|on) the \w{1,20} (device|backend)",
            r"Could not run '\w{1,40}::\S{1,120}' with arguments from the '\w{1,20}' backend",
            r"MPS does not support \w{1,60} op with \w{1,10} input",
        ),
    ),
    Declaration(
        code="messages-refused",
        severity="error",
        title="The chat template refuses the messages",
        cause="The templates of some models allow only user and assistant in turn, and some no system message; the "
        "session sends another order.",
        remediation="Merge neighbouring messages of one role, and put the system's text into the first message of the "
        "user. Files and machine need no repair.",
        shows=(
            *(r"Conversation roles must alternate user", r"System role not supported"),
            r"Only user(, system|, assistant| and assistant).{0,60}? roles are supported",
        ),
    ),
    Declaration(
        code="chat-template-failed",
        severity="error",
        title="The chat template fails in this program",
        cause="Programs render templates with engines of their own, which lack parts of Jinja that some templates use; "
        "or the template has no branch for these messages and raises an exception.",
        remediation="Upgrade the program, or start it with a corrected template (llama.cpp: `--chat-template-file`). "
        "Where the template raises, send the messages in the order that its text asks for.",
        shows=(
            *(r"jinja2\.exceptions\.\w{1,40}: ", r"Unable to generate parser for this template"),
            *(r"\bat row \d{1,5}, column \d{1,5}:", r"Template error: (?!template not found)"),
        ),
    ),
    Declaration(
        code="padding-token-missing",
        severity="error",
        title="The tokenizer has no token to pad with",
        cause="The session tokenises several texts at once, and this tokenizer declares no padding token, as those of "
        "many base models.",
        remediation="Set `tokenizer.pad_token = tokenizer.eos_token` before, or tokenise one text at a time.",
        shows=(r"Asking to pad but the tokenizer does not have a padding token",),
    ),
    Declaration(
        code="json-invalid",
        severity="error",
        title="A text that should be JSON is not valid JSON",
        cause="It is empty, cut off, or something else: a file that a full disk or a killed process left behind, or a "
        "server's answer that is an error page. Which it is, the lines above this one tell.",
        remediation="If a file is read there, restore it; `sage-doctor check` finds broken files of models. If it is a "
        "server's answer, print its status and text.",
        may_show=(r"JSONDecodeError: (Expecting|Extra data|Unterminated string|Invalid (control|\\escape))",),
    ),
    Declaration(
        code="exception-unknown",
        severity="error",
        title="A program raised an exception that is not known here",
        cause="No entry knows this message: it is about a file, a version or a call of that program.",
        remediation="If the line names a file or a model, `sage-doctor check` says whether that is sound. Otherwise "
        "compare the version of the package that raised it with the one that the model asks for, and look for the "
        "message among that package's issues.",
        may_show=MESSAGES,
    ),
)
