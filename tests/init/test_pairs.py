from pathlib import Path

import pytest

from sage_doctor.init.pairs import base_of, ingredients_of
from sage_doctor.manifest.specs import ModelPath
from sage_doctor.readers.merge_record import RECORD
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model, ModelKind
from tests.model_directories import MODEL, PROJECTION, write_adapter, write_cached, write_full, write_json

WIDE = {"model.embed_tokens.weight": (16, 16), f"{PROJECTION}.weight": (16, 16), "model.norm.weight": (16,)}


class Zoo:
    """Models below one directory, as `init` holds them before they have entries."""

    def __init__(self, root: Path) -> None:
        (root / "home").mkdir()
        self.root = root
        self.host = Host(cwd=root, home=root / "home", environ={"HF_HUB_CACHE": str(root / "hub")}, root=root)
        self.models: dict[str, Model] = {}

    def has(self, name: str, kind: ModelKind, path: Path) -> Model:
        reference = ModelPath(text=str(path), path=path)
        self.models[name] = Model(name=name, kind=kind, host=self.host, reference=reference, siblings=self.models)
        return self.models[name]


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    return Zoo(tmp_path)


def test_the_adapters_own_word_is_sure(zoo: Zoo) -> None:
    base = write_full(zoo.root / "bases" / "qwen")
    zoo.has("qwen", "full", base)
    link = base_of(zoo.has("a", "adapter", write_adapter(zoo.root / "a", base)), zoo.models)
    assert link is not None
    assert (link.name, link.sure) == ("qwen", True)


def test_a_path_of_another_machine_leads_here_by_its_end(zoo: Zoo) -> None:
    zoo.has("qwen", "full", write_full(zoo.root / "home" / "zoo" / "qwen"))
    zoo.has("other", "full", write_full(zoo.root / "home" / "zoo" / "qwen-2"))
    adapter = zoo.has("a", "adapter", write_adapter(zoo.root / "a", "/home/gone/zoo/qwen"))
    link = base_of(adapter, zoo.models)
    assert link is not None
    assert (link.name, link.sure) == ("qwen", True)


def test_a_guess_is_whole_and_fits(zoo: Zoo) -> None:
    zoo.has("qwen2.5-0.5b", "full", write_full(zoo.root / "bases" / "qwen2.5-0.5b"))
    zoo.has("llama", "full", write_full(zoo.root / "bases" / "llama"))
    adapter = zoo.has("a", "adapter", write_adapter(zoo.root / "zoo" / "qwen2.5-0.5b" / "a", "./gone/final_model"))
    link = base_of(adapter, zoo.models)
    assert link is not None
    assert (link.name, link.sure) == ("qwen2.5-0.5b", False)
    # What a script loads it onto is its base. A model of the right name without weights, or of other sizes, is not.
    link = base_of(adapter, zoo.models, ("llama", "run.py"))
    assert link is not None
    assert (link.name, link.sure) == ("llama", True)
    (zoo.root / "bases" / "qwen2.5-0.5b" / MODEL).unlink()
    zoo.has("qwen2.5-0.5b-wide", "full", write_full(zoo.root / "wide", tensors=WIDE, hidden_size=16))
    zoo.models = {n: zoo.has(n, m.kind, m.path) for n, m in zoo.models.items()}
    link = base_of(zoo.models["a"], zoo.models)
    assert link is not None
    assert (link.name, link.why, link.sure) == ("llama", "the only model here that the adapter fits", False)


def test_equal_shapes_alone_pair_nothing(zoo: Zoo) -> None:
    """Both models could take the adapter, shape by shape; neither is named anywhere."""
    zoo.has("one", "full", write_full(zoo.root / "one"))
    zoo.has("two", "full", write_full(zoo.root / "two"))
    assert base_of(zoo.has("a", "adapter", write_adapter(zoo.root / "a", "./gone/x")), zoo.models) is None


def test_the_record_of_a_merge_is_sure(zoo: Zoo) -> None:
    base, adapter = write_full(zoo.root / "b"), write_adapter(zoo.root / "x", None)
    zoo.has("b", "full", base)
    zoo.has("x", "adapter", adapter)
    made = zoo.has("made", "merged", write_full(zoo.root / "made"))
    write_json(made.path / RECORD, {"base": {"path": str(base)}, "adapter": {"path": str(adapter)}})
    pair = ingredients_of(made, zoo.models, lambda _: None)
    assert pair is not None
    assert [(t.name, t.sure) for t in pair if t is not None] == [("b", True), ("x", True)]


def test_without_a_record_the_neighbour_of_a_similar_name_is_a_guess(zoo: Zoo) -> None:
    base = write_full(zoo.root / "bases" / "qwen")
    zoo.has("qwen", "full", base)
    zoo.has("intro", "adapter", write_adapter(zoo.root / "z" / "Introspective-v2" / "model", base))
    zoo.has("far", "adapter", write_adapter(zoo.root / "y" / "introspective-v1", base))
    made = zoo.has("made", "merged", write_full(zoo.root / "z" / "introspective-merged"))
    pair = ingredients_of(made, zoo.models, lambda name: base_of(zoo.models[name], zoo.models))
    assert pair is not None
    assert [(t.name, t.sure) for t in pair if t is not None] == [("qwen", True), ("intro", False)]


def test_nothing_near_by_pairs_nothing(zoo: Zoo) -> None:
    zoo.has("far", "adapter", write_adapter(zoo.root / "y" / "introspective-v1", None))
    made = zoo.has("made", "merged", write_full(zoo.root / "z" / "introspective-merged"))
    assert ingredients_of(made, zoo.models, lambda _: None) is None


def test_a_base_in_the_cache_is_found_by_its_repository(zoo: Zoo) -> None:
    write_cached(zoo.root / "hub", "org/name")
    reference = ModelPath(text="hf:org/name", hub="org/name")
    zoo.models["name"] = Model(name="name", kind="full", host=zoo.host, reference=reference, siblings=zoo.models)
    link = base_of(zoo.has("a", "adapter", write_adapter(zoo.root / "a", "org/name")), zoo.models)
    assert link is not None
    assert (link.name, link.sure) == ("name", True)
