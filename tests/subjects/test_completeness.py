"""Whether a model is all there, its base included."""

from __future__ import annotations

from pathlib import Path

from sage_doctor.manifest.specs import ModelPath
from sage_doctor.subjects.completeness import why_not_loadable, why_not_whole
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model, ModelKind
from tests.model_directories import MODEL, write_adapter, write_full


def at(place: Path, kind: ModelKind = "full") -> Model:
    host = Host(cwd=place.parent, home=place.parent, environ={"HF_HUB_CACHE": str(place.parent / "hub")})
    return Model(name="m", kind=kind, host=host, reference=ModelPath(text=str(place), path=place))


def test_a_full_model_is_judged_by_its_directory(tmp_path: Path) -> None:
    place = write_full(tmp_path / "m")
    assert why_not_whole(at(place)) == why_not_loadable(at(place)) == ""
    (place / MODEL).write_bytes((place / MODEL).read_bytes()[:-4])
    assert why_not_whole(at(place)).startswith(f"{MODEL} is broken: truncated: ")
    assert why_not_loadable(at(place)) == why_not_whole(at(place))
    gone = tmp_path / "gone"
    assert why_not_whole(at(gone, "adapter")) == why_not_loadable(at(gone)) == f"nothing is at {gone}"


def test_an_adapter_is_whole_by_itself_and_loadable_with_its_base_only(tmp_path: Path) -> None:
    base = write_full(tmp_path / "base")
    adapter = write_adapter(tmp_path / "a", base)
    assert why_not_loadable(at(adapter, "adapter")) == ""
    (base / "config.json").unlink()
    assert why_not_whole(at(adapter, "adapter")) == ""
    assert why_not_loadable(at(adapter, "adapter")) == "in its base, config.json is missing"
    lost = write_adapter(tmp_path / "b", tmp_path / "gone")
    assert why_not_loadable(at(lost, "adapter")) == f"its base {tmp_path / 'gone'} is not found"
