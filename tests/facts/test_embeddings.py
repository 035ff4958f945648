from sage_doctor.facts.embeddings import embedding_tensor, layer_count
from sage_doctor.readers.safetensors_header import Tensor


def header(**shapes: tuple[int, ...]) -> dict[str, Tensor]:
    named = {n.replace("__", "."): shape for n, shape in shapes.items()}
    return {n: Tensor(n, "F32", shape, 0, 0) for n, shape in named.items()}


def name_of(tensor: Tensor | None) -> str | None:
    return tensor.name if tensor is not None else None


def test_text_embedding_among_others() -> None:
    tensors = header(
        vision_model__embeddings__patch_embedding__weight=(8, 8),
        model__language_model__embed_tokens__weight=(100, 8),
        model__audio__embed_tokens__weight=(5, 8),
        lm_head__weight=(100, 8),
    )
    assert name_of(embedding_tensor(tensors)) == "model.language_model.embed_tokens.weight"


def test_shortest_name_first_and_only_whole_parts() -> None:
    tensors = header(model__embed_tokens__weight=(9, 4), a__model__embed_tokens__weight=(5, 4), my_wte__weight=(3, 4))
    assert name_of(embedding_tensor(tensors)) == "model.embed_tokens.weight"
    assert embedding_tensor(header(my_wte__weight=(3, 4))) is None
    assert name_of(embedding_tensor(header(wte__weight=(3, 4)))) == "wte.weight"
    assert embedding_tensor(header(model__embed_tokens__weight=(12,))) is None
    assert embedding_tensor(header(transformer__wpe__weight=(4, 4), position_embeddings__weight=(4, 4))) is None


def test_layers_of_the_decoder_alone() -> None:
    assert layer_count(["model.layers.0.x", "model.layers.11.x", "model.norm.weight"]) == 12
    assert layer_count(["h.0.attn", "h.3.attn"]) == 4
    assert layer_count(["gpt_neox.layers.5.x"]) == 6
    assert layer_count(["model.decoder.layers.1.x"]) == 2
    assert layer_count(["vision_tower.encoder.layers.30.x", "mtp.layers.3.x"]) is None
    assert layer_count([]) is None


def test_a_number_that_no_layer_has_counts_for_nothing() -> None:
    # Python refuses to make a number of 4,300 digits and more; any file may have a name with them
    assert layer_count(["model.layers.3.x", f"model.layers.{'9' * 5000}.x"]) == 4
