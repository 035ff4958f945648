"""Make the models of this directory: quantised by bitsandbytes, and what transformers' own dequantize() makes of them.

Run once, by hand, with bitsandbytes installed (made with 0.50.2, transformers 5.23, torch 2.13 on an x86-64 CPU):
`python tests/merge/quantised/make.py`. The tests need none of it.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SMALL = {"vocab_size": 24, "num_hidden_layers": 1, "attention_bias": True}
FORMS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "nf4": ("bfloat16", {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}),
    "nf4-double": ("bfloat16", {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}),
    "fp4": ("float16", {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}),
    "int8": ("float16", {"load_in_8bit": True}),
}


def main() -> None:
    import torch
    import transformers
    from safetensors.torch import save_file

    spec = importlib.util.spec_from_file_location("merge_zoo", HERE.parent / "zoo.py")
    assert spec is not None
    assert spec.loader is not None
    zoo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(zoo)
    for name, (dtype, settings) in FORMS.items():
        torch.manual_seed(len(name))
        config = transformers.AutoConfig.for_model("llama", **{**zoo.SIZES, **SMALL})
        plain = transformers.AutoModelForCausalLM.from_config(config).to(getattr(torch, dtype))
        with torch.no_grad():
            for parameter in plain.parameters():
                parameter.normal_(0, 0.05)
        with tempfile.TemporaryDirectory() as folder:
            plain.save_pretrained(folder)
            form = transformers.BitsAndBytesConfig(**settings)
            model = transformers.AutoModelForCausalLM.from_pretrained(folder, quantization_config=form, dtype="auto")
            model.save_pretrained(HERE / name)
        model = transformers.AutoModelForCausalLM.from_pretrained(HERE / name, dtype="auto")
        model = model.dequantize(dtype=getattr(torch, dtype))
        tensors = {n: t.contiguous() for n, t in model.state_dict().items()}
        save_file(tensors, HERE / name / "reference.safetensors")


if __name__ == "__main__":
    main()
