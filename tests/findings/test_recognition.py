"""Error texts as people meet them, word for word, and the entry each of them leads to."""

import pytest

from sage_doctor.findings.recognition import recognise, search

HUB = "Repo id must be in the form 'repo_name' or 'namespace/repo_name':"

INCIDENT = [
    (
        (
            f"HFValidationError: {HUB}\n"
            "'/home/dp/ai-workspace/HRM/model-zoo/sage/epistemic-stances/qwen2.5-0.5b/introspective-qwen-merged'"
        ),
        ["path-missing", "path-foreign-home", "adapter-weights-missing", "adapter-base-missing"],
    ),
    (
        (
            "OSError: Error no file named pytorch_model.bin, model.safetensors, tf_model.h5,\n"
            "model.ckpt.index or flax_model.msgpack found in directory"
        ),
        ["weights-missing", "shard-index-missing"],
    ),
    (
        (
            "OSError: Can't load the configuration of './fine_tuned_model/final_model'.\n"
            "If you were trying to load it from 'https://huggingface.co/models', make sure you\n"
            "don't have a local directory with the same name."
        ),
        ["adapter-base-missing", "config-missing"],
    ),
]

# Produced with transformers 5.23, peft 0.21, safetensors 0.8 and torch 2.13, unless a comment says otherwise.
FIRST = [
    (f"{HUB} './fine_tuned_model/final_model'. Use `repo_type` argument if needed.", "adapter-base-missing"),
    (
        (
            "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the "
            "cached files.\nCheck your internet connection or see how to run the library in offline mode at "
            "'https://huggingface.co/docs/transformers/installation#offline-mode'."
        ),
        "hub-not-cached",
    ),
    (
        "ValueError: Unrecognized model in /zoo/qwen. Should have a `model_type` key in its config.json.",
        "config-missing",
    ),
    ("OSError: It looks like the config file at '/zoo/qwen/config.json' is not a valid JSON file.", "config-invalid"),
    (
        (
            "ValueError: The checkpoint you are trying to load has model type `zork` but Transformers does not "
            "recognize this architecture. This could be because of an issue with the checkpoint, or because your "
            "version of Transformers is out of date."
        ),
        "config-type-unknown",
    ),
    (
        "OSError: Error no file named model.safetensors, or pytorch_model.bin, found in directory /zoo/qwen.",
        "weights-missing",
    ),
    (
        "safetensors_rust.SafetensorError: Error while deserializing header: header too large",
        "weights-lfs-pointer",
    ),
    ("SafetensorError: Error while deserializing header: header too small", "weights-empty"),
    ("SafetensorError: Error while deserializing header: invalid header length", "weights-truncated"),
    (
        "SafetensorError: Error while deserializing header: incomplete metadata, file not fully covered",
        "weights-truncated",
    ),
    # safetensors 0.4
    ("SafetensorError: Error while deserializing header: MetadataIncompleteBuffer", "weights-truncated"),
    (
        (
            "RuntimeError: You set `ignore_mismatched_sizes` to `False`, thus raising an error. For details look at "
            "the above report!"
        ),
        "weights-shape-mismatch",
    ),
    ("FileNotFoundError: No such file or directory: /zoo/qwen/model-00001-of-00002.safetensors", "shard-missing"),
    ("KeyError: 'metadata'", "shard-index-invalid"),
    ("KeyError: 'weight_map'", "shard-index-invalid"),
    (
        (
            "ValueError: Couldn't instantiate the backend tokenizer from one of: \n"
            "(1) a `tokenizers` library serialization file, \n(2) a slow tokenizer instance to convert"
        ),
        "tokenizer-missing",
    ),
    (
        "Exception: data did not match any variant of untagged enum ModelWrapper at line 757479 column 3",
        "tokenizer-invalid",
    ),
    ("IndexError: index out of range in self", "tokenizer-vocab-overflow"),
    ("ValueError: Can't find 'adapter_config.json' at '/zoo/adapter'", "adapter-config-missing"),
    (
        (
            '  File "/env/lib/python3.11/site-packages/peft/peft_model.py", line 1390, in load_adapter\n'
            '  File "/env/lib/python3.11/site-packages/peft/utils/save_and_load.py", line 757, in load_peft_weights\n'
            f"huggingface_hub.errors.HFValidationError: {HUB} '/zoo/adapter'. Use `repo_type` argument if needed."
        ),
        "path-missing",
    ),
    (
        (
            "RuntimeError: Error(s) in loading state_dict for PeftModel:\n\tsize mismatch for "
            "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight: copying a param with shape "
            "torch.Size([4, 16]) from checkpoint, the shape in current model is torch.Size([8, 16])."
        ),
        "adapter-rank-mismatch",
    ),
    (
        (
            "\tsize mismatch for base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight: copying a "
            "param with shape torch.Size([0]) from checkpoint, the shape in current model is torch.Size([4, 16])."
        ),
        "adapter-weights-empty",
    ),
    (
        (
            "ValueError: Target modules {'zork'} not found in the base model. Please check the target modules and try "
            "again."
        ),
        "adapter-targets-missing",
    ),
    (
        "UserWarning: Found missing adapter keys while loading the checkpoint: ['base_model.model.lm_head…'].",
        "adapter-keys-unmatched",
    ),
    # peft 0.10
    ("TypeError: LoraConfig.__init__() got an unexpected keyword argument 'corda_config'", "adapter-config-newer"),
    (
        "Unexpected keyword arguments ['zork'] for class LoraConfig, these are ignored. This probably means",
        "adapter-config-newer",
    ),
    ("AssertionError: Torch not compiled with CUDA enabled", "torch-cpu-build"),
    ("RuntimeError: No CUDA GPUs are available", "accelerator-missing"),
    ("RuntimeError: CUDA error: no kernel image is available for execution on the device", "torch-arch-unsupported"),
    ("Failed to initialize NVML: Driver/library version mismatch", "driver-mismatch"),
    ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", "driver-not-loaded"),
    ("NvRmMemInitNvmap failed with Permission denied", "accelerator-no-access"),
    (
        'RuntimeError: NVML_SUCCESS == r INTERNAL ASSERT FAILED at "../c10/cuda/CUDACachingAllocator.cpp":838',
        "load-out-of-memory",
    ),
    ("RuntimeError: Error 803: system has unsupported display driver / cuda driver combination", "driver-mismatch"),
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 260.00 MiB.", "load-out-of-memory"),
    ("NvMapMemAllocInternalTagged: 1075072515 error 12", "load-out-of-memory"),
    ("ModuleNotFoundError: No module named 'peft'", "package-missing"),
    (
        "NotImplementedError: Cannot copy out of meta tensor; no data! Please use torch.nn.Module.to_empty() instead",
        "params-not-materialised",
    ),
    ("RuntimeError: probability tensor contains either `inf`, `nan` or element < 0", "generate-nonfinite"),
    ("_pickle.UnpicklingError: Weights only load failed. In PyTorch 2.6, we changed", "weights-pickle-only"),
    # transformers 4
    (
        (
            "Some weights of LlamaForCausalLM were not initialized from the model checkpoint at /zoo/qwen and are "
            "newly initialized: ['lm_head.weight']\nYou should probably TRAIN this model on a down-stream task"
        ),
        "weights-keys-missing",
    ),
    ("OSError: [Errno 28] No space left on device", "disk-insufficient"),
    ("/usr/bin/env: 'bash\\r': No such file or directory", "script-crlf"),
    ("-bash: ./run.sh: /bin/bash^M: bad interpreter: No such file or directory", "script-crlf"),
    ("sage.service: Failed at step EXEC spawning /opt/run.sh: No such file or directory", "unit-path-missing"),
    ("sage.service: Main process exited, code=exited, status=200/CHDIR", "unit-path-missing"),
    ("requests.exceptions.ConnectionError: [Errno 111] Connection refused", "service-down"),
    (
        (
            "ValueError: The repository /zoo/qwen contains custom code which must be executed to correctly load the "
            "model.\nPlease pass the argument `trust_remote_code=True` to allow custom code to be run."
        ),
        "custom-code",
    ),
]


@pytest.mark.parametrize("text, codes", INCIDENT)
def test_the_messages_of_the_incident_in_order_of_likelihood(text: str, codes: list[str]) -> None:
    found = [e.code for e in search(text)]
    assert found[0] == codes[0]
    assert [c for c in found if c in codes] == codes


@pytest.mark.parametrize("text, code", FIRST)
def test_a_message_leads_to_its_cause(text: str, code: str) -> None:
    found = [e.code for e in search(text)]
    assert found, text
    assert found[0] == code, found


def test_a_failed_adapter_load_names_the_missing_adapter_weights_too() -> None:
    log = 'File "/x/peft/utils/save_and_load.py", line 757\n' + f"HFValidationError: {HUB} '/zoo/adapter'."
    assert "adapter-weights-missing" in [e.code for e in search(log)][:2]


def test_wraps_colours_and_case_do_not_matter() -> None:
    wrapped = "\x1b[31mOSError: ERROR no file\n   named model.safetensors found in\n\tdirectory /zoo\x1b[0m"
    assert search(wrapped)[0].code == "weights-missing"


@pytest.mark.parametrize("text", ["", "all is well", "Session 21 finished: 40 turns, model answered", "\x00\udcff"])
def test_what_is_no_known_error_is_not_recognised(text: str) -> None:
    assert search(text) == ()


def test_the_newest_line_is_told_and_the_first_decides_the_order() -> None:
    again, other = "safetensors_rust.SafetensorError: header too small", "OSError: [Errno 28] No space left on device"
    found = recognise([f"{again} (1)\n{other}\nok\n{again} (2)\n".encode()])
    told = {one.known.code: one for one in reversed(found) if one.sure}
    empty, full = told["weights-empty"], told["disk-insufficient"]
    assert (empty.number, empty.first, empty.line) == (4, 1, f"{again} (2)")
    assert (full.number, full.first) == (2, 2)
    assert found.index(empty) < found.index(full)


@pytest.mark.parametrize("last", [3, 40_000, 400_000], ids=["window", "batch", "batches"])
def test_first_and_newest_lines_are_told_in_a_log_of_many_windows(last: int) -> None:
    quiet = "step 1 ok\n"
    error = "ModuleNotFoundError: No module named '{}'\n"
    # A near-miss in every window after it, and a quotation, are no newer lines.
    near = "he says `" + error.format("c").strip() + "`\nModuleNotFoundError: No module\n"
    log = quiet + error.format("a") + quiet * last + error.format("b") + (quiet * 500 + near) * 400
    (found,) = recognise([log.encode()])
    assert (found.first, found.number) == (2, last + 3)
    assert found.line == error.format("b").strip()
