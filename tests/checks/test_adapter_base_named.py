"""Whether a loader finds the base that an adapter names, and which base is offered where it finds none."""

from pathlib import Path

import pytest

from tests.corpus.builders.tensors import pack
from tests.model_directories import (
    INDEX,
    MODEL,
    POINTER,
    PROJECTION,
    write_adapter,
    write_cached,
    write_full,
    write_sharded,
)

from .cases import Bench, Case, Cases
from .test_adapters import MANIFEST, healthy

CASES = Cases()


@CASES.finds("check_adapter_base", "adapter-base-unset", "names no base")
def names_no_base(bench: Bench) -> None:
    healthy(bench, base_model_name_or_path=None)


@CASES.finds(
    "check_adapter_base", "adapter-base-missing", "./fine_tuned_model/final_model was not found in any location"
)
def base_of_the_training_run(bench: Bench) -> None:
    healthy(bench, base_model_name_or_path="./fine_tuned_model/final_model")


@CASES.finds("check_adapter_base", "adapter-base-missing", "/home/somebody-else, another machine's or user's home")
def base_in_a_foreign_home(bench: Bench) -> None:
    healthy(bench, base_model_name_or_path="/home/somebody-else/base")


@CASES.finds("check_adapter_base", "adapter-base-missing", "does not exist")
def base_gone(bench: Bench) -> None:
    healthy(bench, base_model_name_or_path="/no/such/base")


@CASES.finds("check_adapter_base", "adapter-base-missing", "nor in the Hugging Face cache")
def base_not_downloaded(bench: Bench) -> None:
    healthy(bench, base_model_name_or_path="org/name")


@CASES.passes("check_adapter_base")
@CASES.passes("check_adapter_base_sound")
def base_in_the_cache(bench: Bench) -> None:
    bench.environ["HF_HUB_CACHE"] = str(bench.root / "hub")
    write_cached(bench.root / "hub", "org/name")
    healthy(bench, base_model_name_or_path="org/name")


@CASES.finds("check_adapter_base", "hub-ref-missing", "org/name")
def base_in_the_cache_without_its_ref(bench: Bench) -> None:
    base_in_the_cache(bench)
    (bench.root / "hub" / "models--org--name" / "refs" / "main").unlink()


@CASES.finds("check_adapter_base", "adapter-base-relative", "only beside the adapter", severity="warning")
def base_beside_the_adapter(bench: Bench) -> None:
    healthy(bench, base_model_name_or_path="./base")
    (bench.root / "base").rename(bench.here / "base")


@CASES.skips("check_adapter_base", "blocked by path-missing")
def base_of_the_manifest_gone(bench: Bench) -> None:
    healthy(bench)
    bench.manifest(f'{MANIFEST}base = "b"\n[models.b]\nkind = "full"\npath = "gone"\n', "a")


@CASES.skips("check_adapter_base", "blocked by hub-not-cached")
def base_of_the_manifest_not_downloaded(bench: Bench) -> None:
    healthy(bench)
    bench.manifest(f'{MANIFEST}base = "b"\n[models.b]\nkind = "full"\npath = "hf:org/name"\n', "a")


@CASES.passes("check_adapter_base")
@CASES.skips("check_adapter_base_sound", "a model of its own")
def base_of_the_manifest(bench: Bench) -> None:
    healthy(bench, base_model_name_or_path=None)
    bench.manifest(f'{MANIFEST}base = "b"\n[models.b]\nkind = "full"\npath = "base"\n', "a")


@CASES.finds("check_adapter_base_sound", "adapter-base-broken", "is itself an adapter of /no/such/base")
def base_is_an_adapter(bench: Bench) -> None:
    write_adapter(bench.here, write_adapter(bench.root / "inner", "/no/such/base"))


@CASES.finds("check_adapter_base_sound", "adapter-base-broken", "is itself an adapter")
def base_of_the_manifest_is_an_adapter(bench: Bench) -> None:
    base_is_an_adapter(bench)
    bench.manifest(f'{MANIFEST}base = "b"\n[models.b]\nkind = "adapter"\npath = "inner"\n', "a")


@CASES.finds("check_adapter_base_sound", "config-invalid", "quantised (bitsandbytes_4bit), and they are not")
def base_said_to_be_quantised(bench: Bench) -> None:
    write_adapter(bench.here, write_full(bench.root / "base", quantization_config={"load_in_4bit": True}))


@CASES.finds("check_adapter_base_sound", "adapter-base-broken", "config.json is missing")
def base_without_configuration(bench: Bench) -> None:
    healthy(bench)
    (bench.root / "base" / "config.json").unlink()


@CASES.finds("check_adapter_base_sound", "adapter-base-broken", "the weights are missing")
def base_without_weights(bench: Bench) -> None:
    healthy(bench)
    (bench.root / "base" / MODEL).unlink()


@CASES.finds("check_adapter_base_sound", "adapter-base-broken", "there is llama.Q4_K_M.gguf, which a loader does not")
def base_that_is_a_gguf(bench: Bench) -> None:
    base_without_weights(bench)
    (bench.root / "base" / "llama.Q4_K_M.gguf").write_bytes(b"GGUF")


@CASES.finds("check_adapter_base_sound", "adapter-base-broken", f"{INDEX} cannot be used")
def base_with_a_broken_index(bench: Bench) -> None:
    write_adapter(bench.here, write_sharded(bench.root / "base"))
    (bench.root / "base" / INDEX).write_text("{}")


@CASES.finds("check_adapter_base_sound", "adapter-base-broken", "model-00001-of-00002.safetensors is missing")
def base_without_a_shard(bench: Bench) -> None:
    write_adapter(bench.here, write_sharded(bench.root / "base"))
    (bench.root / "base" / "model-00001-of-00002.safetensors").unlink()


@CASES.finds("check_adapter_base_sound", "adapter-base-broken", "Git LFS pointer")
def base_of_pointers(bench: Bench) -> None:
    healthy(bench)
    (bench.root / "base" / MODEL).write_text(POINTER)


@CASES.finds("check_adapter_base_sound", "hub-blob-missing", MODEL)
def base_in_the_cache_without_a_blob(bench: Bench) -> None:
    base_in_the_cache(bench)
    snapshot = next((bench.root / "hub" / "models--org--name" / "snapshots").iterdir())
    (snapshot / MODEL).resolve().unlink()


@CASES.finds("check_adapter_base_sound", "adapter-base-broken", "quantised by MLX")
def base_quantised_by_mlx(bench: Bench) -> None:
    healthy(bench)
    base = write_full(bench.root / "base", quantization={"group_size": 64, "bits": 4})
    pack(base / MODEL, {f"{PROJECTION}.weight": ("U32", [8, 8], bytes(256))})


@CASES.finds("check_adapter_base", "adapter-base-missing", "is a web address")
def base_by_its_address(bench: Bench) -> None:
    healthy(bench, base_model_name_or_path="https://huggingface.co/a/b")


def test_the_base_is_named_in_the_manifest_by_the_name_it_has_there(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    write_full(tmp_path / "qwen-base")
    write_adapter(bench.here, None)
    bench.manifest(f'{MANIFEST}[models.qwen]\nkind = "full"\npath = "qwen-base"\n', "a")
    (found,) = bench.run("check_adapter_base").findings
    assert "The only model here that this adapter fits is qwen; confirm, then `sage-doctor fix a --base qwen`." in (
        found.fix.summary
    )
    assert found.fix.commands == ("sage-doctor fix a --base qwen",)


def fix_of(bench: Bench) -> tuple[str, str]:
    (found,) = bench.run("check_adapter_base").findings
    return found.fix.summary, "\n".join((*found.fix.commands, *map(str, found.evidence["candidates"])))


def test_a_base_named_by_its_hub_id_is_downloaded_first(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    write_adapter(bench.here, "Qwen/Qwen2.5-0.5B")
    summary, commands = fix_of(bench)
    assert summary.startswith("Download it")
    assert 'base = "hf:Qwen/Qwen2.5-0.5B"' in summary
    assert commands.splitlines() == [f"sage-doctor fix {bench.here}", "hf download Qwen/Qwen2.5-0.5B"]


@pytest.mark.parametrize("name", ["outputs/checkpoint-500", "runs/final_model", "./fine_tuned_model/final_model"])
def test_what_only_looks_like_a_hub_id_is_not_downloaded(name: str, tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    write_adapter(bench.here, name)
    assert "ownload" not in " ".join(fix_of(bench))


WIDER = {"model.embed_tokens.weight": (16, 40), f"{PROJECTION}.weight": (40, 40), "model.norm.weight": (40,)}


@pytest.mark.parametrize("base", ["Qwen/Qwen2.5-0.5B", "/home/elsewhere/zoo/qwen2.5-0.5b/base"])
def test_only_what_can_be_the_base_is_offered(base: str, tmp_path: Path) -> None:
    tmp_path = tmp_path / "far" / "from" / "other-tests"  # models near by are looked at
    bench = Bench(root=tmp_path, target=str(tmp_path), subject="here")
    write_adapter(bench.here, base)
    write_full(tmp_path / "zoo" / "qwen2.5-0.5b" / "base-instruct")
    write_full(tmp_path / "zoo" / "qwen2.5-14b" / "base", tensors=WIDER, hidden_size=40)
    write_full(tmp_path / "Qwen2.5-0.5B", tensors=WIDER, hidden_size=40)
    (write_full(tmp_path / "weightless" / "Qwen2.5-0.5B") / "model.safetensors").unlink()
    said = " ".join(fix_of(bench))
    assert "14b" not in said
    assert ("base-instruct" in said) == (not base.startswith("Qwen"))  # where no repository is named: to be confirmed
    assert ("that this adapter fits" in said) == (not base.startswith("Qwen"))
    assert "Best candidate" not in said

    write_full(tmp_path / "copies" / "qwen2.5-0.5b")
    bench = Bench(root=tmp_path, target=str(tmp_path), subject="here")
    assert ("Best candidate: " in " ".join(fix_of(bench))) == base.startswith("Qwen")


def test_the_base_of_the_recipe_comes_first_although_it_is_missing(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    write_adapter(bench.here, "./fine_tuned_model/final_model")
    write_full(tmp_path / "final_model")
    bench.manifest(
        f'{MANIFEST}[models.qwen]\nkind = "full"\npath = "hf:Qwen/Qwen2.5-0.5B"\n'
        '[models.m]\nkind = "merged"\npath = "merged"\nmerge = { base = "qwen", adapter = "a" }\n',
        "a",
    )
    summary, commands = fix_of(bench)
    assert 'base = "qwen"' in summary
    assert "hf download Qwen/Qwen2.5-0.5B" in commands


def test_one_base_that_many_adapters_lack_is_one_finding(tmp_path: Path) -> None:
    for number in range(7):
        write_adapter(tmp_path / "zoo" / f"a{number}", "Qwen/Qwen2.5-0.5B")
    write_adapter(tmp_path / "zoo" / "b", "org/another")
    (tmp_path / "zoo" / "a0" / "adapter_config.json").write_text("{")

    ends = {}
    for name in [*(f"a{n}" for n in range(7)), "b"]:
        ends[name] = Bench(root=tmp_path, target=str(tmp_path / "zoo"), subject=name).run("check_adapter_base")

    (found,) = ends["a1"].findings
    assert "6 adapters need it: a1, a2, a3, a4, a5" in found.message
    assert found.evidence["subjects"] == [f"a{n}" for n in range(1, 7)]
    assert [ends[f"a{n}"].result.reason for n in range(2, 7)] == ["blocked by adapter-base-missing"] * 5
    assert len(ends["b"].findings) == 1


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)
