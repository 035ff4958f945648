"""Healthy models that need no tokenizer of transformers: of numbers, of sound, tables of vectors, other libraries'."""

from __future__ import annotations

import shutil

from tests.corpus.builders import tensors
from tests.corpus.builders.case import Bench, Table, edit_json, read_json, write_json
from tests.corpus.builders.field.layouts import touch
from tests.corpus.builders.field.pages import without
from tests.corpus.builders.tensors import MODEL

TABLE = Table("field-no-text", in_tree=False, shows="loads")
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
_OTHERS = "no model of transformers"
_CHRONOS = {
    "context_length": 512,
    "model_type": "seq2seq",
    "n_tokens": 96,
    "tokenizer_class": "MeanScaleUniformBins",
    "tokenizer_kwargs": {"high_limit": 15.0, "low_limit": -15.0},
}
_ST = "sentence_transformers.models."
_SPARSE = "sentence_transformers.sparse_encoder.models."


@TABLE.healthy(source="https://huggingface.co/amazon/chronos-t5-tiny/tree/main", shows="no model by itself")
def forecaster_of_t5(bench: Bench) -> None:
    """Chronos: config.json names its own tokenizer, which puts numbers into bins."""
    edit_json(without(bench.copy("t5"), *_TOKENIZER) / "config.json", chronos_config=_CHRONOS)


@TABLE.healthy(source="amazon-science/chronos-forecasting#252", shows="no model by itself")
def forecaster_of_gpt2(bench: Bench) -> None:
    """The same with a decoder alone."""
    folder = without(bench.copy("gpt2"), "vocab.json", "merges.txt")
    edit_json(folder / "config.json", chronos_config={**_CHRONOS, "model_type": "causal"})


@TABLE.healthy(
    source="https://huggingface.co/Maple728/TimeMoE-50M/tree/main", also=("custom-code",), shows="no model without code"
)
def forecaster_of_its_own_code(bench: Bench) -> None:
    """auto_map names a configuration and a model, and no tokenizer."""
    folder = without(bench.copy(), *_TOKENIZER)
    own = {"AutoConfig": "configuration_x.XConfig", "AutoModelForCausalLM": "modeling_x.XForPrediction"}
    edit_json(folder / "config.json", model_type="time_moe", architectures=["XForPrediction"], auto_map=own)
    for name in ("configuration_x.py", "modeling_x.py"):
        (folder / name).write_text(f"open({str(bench.bait)!r}, 'w')\n", encoding="utf-8")


@TABLE.error(
    "config-type-unknown", source="https://huggingface.co/ibm-granite/granite-timeseries-ttm-r2", shows="ValueError"
)
def forecaster_of_a_type_unknown(bench: Bench) -> None:
    """One finding: what reads an unknown type is not known, either."""
    edit_json(without(bench.copy(), *_TOKENIZER) / "config.json", model_type="tinytimemixer")


@TABLE.healthy(level="load", source="https://huggingface.co/minishlab/potion-base-8M/tree/main", shows=_OTHERS)
def table_of_vectors(bench: Bench) -> None:
    """model2vec: modules.json says that a StaticEmbedding lies at the top."""
    folder = without(bench.copy(), "tokenizer_config.json", "generation_config.json")
    tensors.pack(folder / MODEL, {"embeddings": ("F32", [96, 4], bytes([0, 0, 128, 63]) * 384)})
    write_json(folder / "config.json", {"model_type": "model2vec", "architectures": ["StaticModel"], "hidden_dim": 4})
    kinds = {".": f"{_ST}StaticEmbedding", "1_Normalize": f"{_ST}Normalize"}
    write_json(folder / "modules.json", [{"path": p, "type": k} for p, k in kinds.items()])


@TABLE.healthy(
    source="https://huggingface.co/opensearch-project/opensearch-neural-sparse-encoding-doc-v3-distill", shows=_OTHERS
)
def router(bench: Bench) -> None:
    """A way for queries and one for documents; modules.json names the top alone."""
    folder = bench.here
    bench.copy("bert", to=folder / "document_0_MLMTransformer")
    query = folder / "query_0_SparseStaticEmbedding"
    query.mkdir()
    shutil.copy(bench.stock / "llama" / "tokenizer.json", query / "tokenizer.json")
    write_json(query / "config.json", {"frozen": True})
    tensors.pack(query / MODEL, {"weight": ("F32", [96], bytes([0, 0, 128, 63]) * 96)})
    write_json(folder / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": f"{_ST}Router"}])
    ways = {"query_0_SparseStaticEmbedding": "SparseStaticEmbedding", "document_0_MLMTransformer": "MLMTransformer"}
    write_json(folder / "router_config.json", {"types": {p: f"{_SPARSE}{k}" for p, k in ways.items()}})


@TABLE.healthy(source="https://huggingface.co/lightonai/GTE-ModernColBERT-v1/tree/main")
def dense_of_another_library(bench: Bench) -> None:
    """PyLate's own Dense."""
    folder = bench.copy("bert")
    (folder / "1_Dense").mkdir()
    write_json(folder / "1_Dense" / "config.json", {"in_features": 32, "out_features": 16, "bias": False})
    tensors.pack(folder / "1_Dense" / MODEL, {"linear.weight": ("F32", [16, 32], bytes(2048))})
    kinds = {"": f"{_ST}Transformer", "1_Dense": "pylate.models.Dense.Dense"}
    write_json(folder / "modules.json", [{"path": p, "type": k} for p, k in kinds.items()])


@TABLE.error(
    "module-missing", source="huggingface/sentence-transformers#3052", shows="loads with transformers; ST cannot"
)
def dense_without_its_weights(bench: Bench) -> None:
    """`*.safetensors` in .gitignore: only the configuration of 2_Dense came."""
    folder = bench.copy("bert")
    (folder / "2_Dense").mkdir()
    write_json(folder / "2_Dense" / "config.json", {"in_features": 32, "out_features": 16, "bias": False})
    kinds = {"": f"{_ST}Transformer", "2_Dense": f"{_ST}Dense"}
    write_json(folder / "modules.json", [{"path": p, "type": k} for p, k in kinds.items()])


@TABLE.healthy(source="huggingface/setfit#594")
def head_of_setfit(bench: Bench) -> None:
    """model_head.pkl, which no check opens."""
    folder = bench.copy("bert")
    touch(folder, "model_head.pkl")
    write_json(folder / "config_setfit.json", {"labels": None, "normalize_embeddings": False})


@TABLE.healthy(source="m3hrdadfi/soxan#17")
def emotions_in_speech(bench: Bench) -> None:
    """A classifier of sound has no letters."""
    bench.copy("unispeech-sat")


@TABLE.error("tokenizer-missing", source="huggingface/transformers#12982", shows="loads, but nothing spells")
def recogniser_without_letters(bench: Bench) -> None:
    """And what writes down speech needs them: the processor was not saved."""
    without(bench.copy("wav2vec2-letters"), "vocab.json", "tokenizer_config.json")


@TABLE.healthy(source="ollama/ollama#8245", also=("weights-pickle-only",))
def shards_named_with_an_underscore(bench: Bench) -> None:
    """pytorch_model_00001-of-00009.bin, named so by the index, and a Modelfile."""
    from tests.corpus.builders.pickles import state_dict
    from tests.corpus.builders.tensors import INDEX

    folder = bench.copy("llama-sharded")
    index = read_json(folder / INDEX)
    names = {f"model-{n:05}-of-00009.safetensors": f"pytorch_model_{n:05}-of-00009.bin" for n in range(1, 10)}
    for old, new in names.items():
        (folder / new).write_bytes(state_dict(tensors.unpack(folder / old)))
    without(folder, INDEX, *names)
    index["weight_map"] = {k: names[v] for k, v in index["weight_map"].items()}
    write_json(folder / "pytorch_model.bin.index.json", index)
    (folder / "Modelfile").write_text("FROM .\n", encoding="ascii")
