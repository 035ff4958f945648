import json
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.facts.bases import (
    KNOWN,
    NEAR_BY,
    SAME_TAIL,
    SIMILAR,
    WRITTEN_DOWN,
    ResolvedBase,
    candidates_for,
    resolve_base,
)


def model(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    return path


def place(text: str, root: Path) -> ResolvedBase:
    return resolve_base(text, adapter=root / "zoo/run/adapter", cwd=root / "cwd", home=root / "home")


def test_an_absolute_path(tmp_path: Path) -> None:
    base = model(tmp_path / "base")
    there, absent = place(str(base), tmp_path), place(str(tmp_path / "absent"), tmp_path)
    assert (there.found, there.tried, there.form, there.repo_id) == (base, (base,), "absolute", None)
    assert (absent.found, absent.beside, absent.tried) == (None, None, (tmp_path / "absent",))
    (tmp_path / "file").touch()
    assert place(str(tmp_path / "file"), tmp_path).found is None


def test_a_relative_path_counts_from_the_session_not_from_the_adapter(tmp_path: Path) -> None:
    beside = model(tmp_path / "zoo/fine_tuned/final")
    found = place("./fine_tuned/final", tmp_path)
    assert (found.found, found.beside, found.form, found.repo_id) == (None, beside, "relative", None)
    here = model(tmp_path / "cwd/fine_tuned/final")
    assert place("./fine_tuned/final", tmp_path).found == here
    assert place("./fine_tuned/final", tmp_path).tried[0] == here


@pytest.mark.parametrize(
    "text, is_name",
    [
        ("Qwen/Qwen2.5-0.5B-Instruct", True),
        ("gpt2", True),
        ("org/name.with.dots_and-dashes", True),
        ("./org/name", False),
        ("../name", False),
        ("a/b/c", False),
        ("org/na--me", False),
        ("org/na..me", False),
        ("org/name/", False),
        ("org/-name", False),
        ("C:\\Users\\alice\\model", False),
        ("o\0rg/name", False),
        ("x" * 97, False),
        ("~/model", False),
    ],
)
def test_names_of_repositories(tmp_path: Path, text: str, is_name: bool) -> None:
    found = place(text, tmp_path)
    assert (found.repo_id, found.form) == ((text, "repository") if is_name else (None, "relative"))
    assert (found.found, found.beside) == (None, None)


def test_an_existing_directory_comes_before_a_repository_of_its_name(tmp_path: Path) -> None:
    here = model(tmp_path / "cwd/gpt2")
    found = place("gpt2", tmp_path)
    assert (found.found, found.repo_id) == (here, "gpt2")


def test_an_empty_directory_does_too(tmp_path: Path) -> None:  # transformers 4.57, 5.x and peft fail on it
    (tmp_path / "cwd/org/m").mkdir(parents=True)
    assert place("org/m", tmp_path).found == tmp_path / "cwd/org/m"


def test_a_tilde_is_expanded_by_no_loader(tmp_path: Path) -> None:
    base = model(tmp_path / "home/models/base")
    found = place("~/models/base", tmp_path)
    assert found.found is None
    assert base in found.tried
    (best,) = candidates("~/models/base", roots=[tmp_path / "home"])
    assert best == (base, SAME_TAIL)


def candidates(text: str, **places: Any) -> list[tuple[Path, int]]:
    everything: dict[str, Any] = {"known": (), "found": (), "cached": (), "roots": ()} | places
    return [(c.path, c.rank) for c in candidates_for(text, **everything)]


def test_provenance_comes_first(tmp_path: Path) -> None:
    tail = model(tmp_path / "root/ai/qwen-base")
    recipe, like, other, near, hub = (Path(p) for p in ("/m/recipe", "/m/qwen", "/m/other", "/m/near", "/c/qwen"))
    ranked = candidates(
        "/home/alice/ai/qwen-base",
        named=[(recipe, "the recipe of merged")],
        known=[(other, "other"), (like, "qwen")],
        found=[near],
        cached=[("org/qwen", hub), ("org/llama", Path("/c/llama"))],
        roots=[tmp_path / "root"],
    )
    assert ranked == [(recipe, WRITTEN_DOWN), (tail, SAME_TAIL), (hub, SIMILAR), (like, SIMILAR), (other, KNOWN)]


def test_what_merely_lies_here_is_named_only_where_nothing_better_is() -> None:
    near = [Path("/m/a"), Path("/m/b")]
    assert candidates("gone", found=near) == [(near[0], NEAR_BY), (near[1], NEAR_BY)]
    assert candidates("gone", found=near, known=[(Path("/m/c"), "c")]) == [(Path("/m/c"), KNOWN)]
    assert candidates("gone", found=near, exclude=near) == []


def test_the_more_of_the_name_is_shared_the_better() -> None:
    found = [Path("/m/a-qwen2.5-7b"), Path("/m/b-qwen2.5-0.5b-instruct"), Path("/m/c-qwen2.5-0.5b")]
    ranked = candidates("Qwen/Qwen2.5-0.5B-Instruct", found=found)
    assert [p.name[0] for p, _ in ranked] == ["b", "c", "a"]


def test_each_place_once_under_its_best_reason() -> None:
    path = Path("/m/qwen")
    ranked = candidates("org/qwen", found=[path, path], known=[(path, "qwen")], named=[(path, "the manifest")])
    assert ranked == [(path, WRITTEN_DOWN)]


def test_a_base_beside_the_adapter_is_named_without_detours(tmp_path: Path) -> None:
    beside = model(tmp_path / "zoo/base")
    (tmp_path / "zoo/run/adapter").mkdir(parents=True)
    assert place("../../base", tmp_path).beside == beside
