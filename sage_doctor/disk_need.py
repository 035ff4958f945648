"""How much room building a model takes, and how much there is where it would be built."""

from __future__ import annotations

from sage_doctor.facts.machine import disk_free
from sage_doctor.facts.weights import read_weights
from sage_doctor.mendable import recipe_places
from sage_doctor.model import Model
from sage_doctor.readers.json_object import read_json_object
from sage_doctor.readers.tree import read_tree


def room_to_rebuild(model: Model) -> tuple[int, int] | None:
    """Return the bytes that merging a model again would write, and those that are free where it lies.

    None where it is whole, cannot be built here, or the file system does not tell. A merge keeps the old directory
    until the new one is proved, so what lies there is no room.
    """
    places = recipe_places(model)
    if places is None or (model.found and _whole(model)):
        return None
    base = read_weights(read_tree(places[0]), read_json_object(places[0] / "config.json", most=1 << 24).value)
    try:
        return (base.nbytes, disk_free(model.path)) if base.nbytes else None
    except OSError:
        return None


def _whole(model: Model) -> bool:
    weights = model.weights
    return weights.form != "none" and all(
        f.node.kind == "file" and (f.header is None or f.header.problem is None) for f in weights.files
    )
