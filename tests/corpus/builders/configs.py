"""config.json and its neighbours: lost, damaged, impossible, or asking for code to be run."""

from __future__ import annotations

import os
from pathlib import Path

from .case import Bench, Table, edit_json
from .tensors import PAGE, POINTER

TABLE = Table("configs")
_NOT_JSON = "OSError: It looks like the config file at '…/config.json' is not a valid JSON file"


def _config(bench: Bench, name: str = "llama") -> Path:
    return bench.copy(name) / "config.json"


@TABLE.error("config-missing", shows="ValueError: Unrecognized model in …. Should have a `model_type` key")
def missing(bench: Bench) -> None:
    """Weights and tokenizer arrived, config.json did not."""
    _config(bench).unlink()


@TABLE.error("config-invalid", shows=_NOT_JSON)
def empty(bench: Bench) -> None:
    """The disk was full."""
    _config(bench).write_bytes(b"")


@TABLE.error("config-invalid", shows=_NOT_JSON)
def zero_filled(bench: Bench) -> None:
    """The machine lost power before the pages were written."""
    config = _config(bench)
    config.write_bytes(bytes(config.stat().st_size))


@TABLE.error("config-invalid", shows=_NOT_JSON)
def byte_order_mark(bench: Bench) -> None:
    """Edited on Windows."""
    config = _config(bench)
    config.write_bytes(b"\xef\xbb\xbf" + config.read_bytes())


@TABLE.error("config-invalid", shows=_NOT_JSON)
def utf16(bench: Bench) -> None:
    """Written by a PowerShell redirection."""
    config = _config(bench)
    config.write_text(config.read_text(encoding="utf-8"), encoding="utf-16")


@TABLE.error("config-invalid", shows=_NOT_JSON)
def cut(bench: Bench) -> None:
    """Half of it."""
    config = _config(bench)
    os.truncate(config, config.stat().st_size // 2)


@TABLE.error("config-invalid", shows=_NOT_JSON)
def trailing_comma(bench: Bench) -> None:
    """Edited by hand."""
    config = _config(bench)
    config.write_text(config.read_text(encoding="utf-8").rstrip().removesuffix("}") + ",}", encoding="utf-8")


@TABLE.error("config-invalid", shows=_NOT_JSON)
def conflict_markers(bench: Bench) -> None:
    """A merge conflict that nobody resolved."""
    config = _config(bench)
    text = config.read_text(encoding="utf-8")
    config.write_text(f"<<<<<<< HEAD\n{text}=======\n{text}>>>>>>> theirs\n", encoding="utf-8")


@TABLE.error("config-invalid", shows=_NOT_JSON)
def pointer(bench: Bench) -> None:
    """`*.json filter=lfs` in .gitattributes, and no `git lfs pull`."""
    _config(bench).write_text(POINTER, encoding="utf-8")


@TABLE.error("config-invalid", shows=_NOT_JSON)
def login_page(bench: Bench) -> None:
    """A captive portal."""
    _config(bench).write_text(PAGE, encoding="utf-8")


@TABLE.error("config-invalid", shows="ValueError: Unrecognized model in …")
def an_array(bench: Bench) -> None:
    """JSON, but no object."""
    config = _config(bench)
    config.write_text(f"[{config.read_text(encoding='utf-8')}]", encoding="utf-8")


@TABLE.error("config-invalid", shows="RecursionError")
def nested_without_end(bench: Bench) -> None:
    """Fifty thousand brackets, to exhaust a parser."""
    _config(bench).write_text('{"a":' * 50_000 + "1" + "}" * 50_000, encoding="utf-8")


@TABLE.error("config-invalid", shows="StrictDataclassClassValidationError: validate_architecture")
def heads_do_not_divide(bench: Bench) -> None:
    """Five heads in a width of 32, and no `head_dim` of their own."""
    edit_json(_config(bench), drop=("head_dim",), num_attention_heads=5, num_key_value_heads=5)


@TABLE.error("config-invalid", shows="RuntimeError: Trying to create tensor with negative dimension")
def negative_width(bench: Bench) -> None:
    """An impossible size."""
    edit_json(_config(bench), hidden_size=-32)


@TABLE.error("config-invalid", shows="StrictDataclassFieldValidationError")
def number_as_text(bench: Bench) -> None:
    """A size in quotation marks."""
    edit_json(_config(bench), hidden_size="32")


@TABLE.error("config-invalid", "config-type-unknown", shows="ValueError: Unrecognized model in …")
def type_missing(bench: Bench) -> None:
    """No `model_type`: nothing says which architecture this is."""
    edit_json(_config(bench), drop=("model_type", "architectures"))


@TABLE.error("config-type-unknown", shows="ValueError: … has model type `llama9` but Transformers does not recognize")
def type_unknown(bench: Bench) -> None:
    """A model newer than the installed transformers."""
    edit_json(_config(bench), model_type="llama9", architectures=["Llama9ForCausalLM"])


@TABLE.warning("custom-code", shows="ValueError, after it asked `Do you wish to run the custom code? [y/N]` and waited")
def code_of_its_own(bench: Bench) -> None:
    """`auto_map` and the modules it names; importing one would leave a file behind."""
    config = _config(bench)
    edit_json(
        config,
        model_type="homemade",
        architectures=["HomemadeForCausalLM"],
        auto_map={
            "AutoConfig": "configuration_homemade.HomemadeConfig",
            "AutoModelForCausalLM": "modeling_homemade.HomemadeForCausalLM",
        },
    )
    for name in ("configuration_homemade.py", "modeling_homemade.py"):
        _bait(bench, config.with_name(name))


@TABLE.warning("custom-code", shows="loads silently with transformers' own class")
def modules_beside_known_type(bench: Bench) -> None:
    """A type that transformers knows, with a module beside it and an `auto_map` that prefers it."""
    config = _config(bench)
    edit_json(config, auto_map={"AutoModelForCausalLM": "modeling_llama.LlamaForCausalLM"})
    _bait(bench, config.with_name("modeling_llama.py"))


# No file names these modules, so nothing would run them by a load alone: a warning is welcome, not required.
@TABLE.healthy(
    also=("custom-code",), shows="loads silently; a program that puts the directory on its path imports them"
)
def conftest_trap(bench: Bench) -> None:
    """Modules that Python or pytest would import by themselves if they were ever run in the directory."""
    folder = _config(bench).parent
    for name in ("conftest.py", "sitecustomize.py", "json.py", "torch.py", "test_model.py"):
        _bait(bench, folder / name)


def _bait(bench: Bench, module: Path) -> None:
    code = f"import pathlib\npathlib.Path({str(bench.bait)!r}).touch()\n"
    module.write_text(code, encoding="utf-8")
