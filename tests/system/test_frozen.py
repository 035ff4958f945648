"""Immutable values behave as the standard library's frozen dataclasses do."""

from __future__ import annotations

import dataclasses
import pickle
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pytest

from sage_doctor.system.frozen import frozen


@frozen
class Ours:
    """One of ours."""

    a: int
    b: tuple[str, ...] = ()
    c: dict[str, int] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def doubled(self) -> int:
        """Kept in the instance, and no part of its value."""
        return 2 * self.a


@dataclass(frozen=True, kw_only=True)
class Theirs:
    """The same, made by the standard decorator."""

    a: int
    b: tuple[str, ...] = ()
    c: dict[str, int] = field(default_factory=dict, compare=False, repr=False)


@frozen
class Told:
    """A class with methods of its own."""

    a: int

    def __repr__(self) -> str:
        return "told"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int)

    def __hash__(self) -> int:
        return 7


@frozen
class Nothing:
    """No fields at all."""


@pytest.mark.parametrize("made", [Ours, Theirs])
def test_what_the_standard_decorator_promises(made: Any) -> None:
    one, same, other = made(a=1, b=("x",)), made(a=1, b=("x",), c={"y": 2}), made(a=2)
    assert one == same
    assert one != other
    assert one != (1, ("x",))
    assert hash(one) == hash(same)
    assert len({one, same, other}) == 2
    assert repr(one) == f"{made.__name__}(a=1, b=('x',))"
    assert dataclasses.replace(one, a=2, b=()) == other
    assert dataclasses.asdict(same) == {"a": 1, "b": ("x",), "c": {"y": 2}}
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(TypeError):
        made(1)
    with pytest.raises(TypeError):
        made(b=())


@pytest.mark.parametrize("made", [Ours, Theirs])
def test_nothing_is_set_or_deleted_afterwards(made: Any) -> None:
    one = made(a=1)
    for name in ("a", "b"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(one, name, 2)
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(one, name)
    assert one == made(a=1)


def test_what_is_computed_once_is_no_part_of_the_value() -> None:
    one = Ours(a=3)
    assert one.doubled == 6
    assert one == Ours(a=3)
    assert repr(one) == "Ours(a=3, b=())"
    assert vars(one)["doubled"] == 6


def test_other_classes_are_not_equal_and_own_methods_stay() -> None:
    theirs: object = Theirs(a=1)
    assert Ours(a=1) != theirs
    assert (repr(Told(a=1)), Told(a=1) == 5, hash(Told(a=1))) == ("told", True, 7)
    assert Nothing() == Nothing()
    assert repr(Nothing()) == "Nothing()"
