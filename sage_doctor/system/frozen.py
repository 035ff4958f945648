"""Immutable values: dataclasses whose methods are shared instead of compiled anew for every class.

`dataclass(frozen=True)` writes and compiles six functions for a class, 0.3 to 0.45 ms on Python 3.11. Of the hundred
classes that a static check imports this was an eighth of its time. Only `__init__` is compiled here.

`report`, `render` and `services` use nothing else of the system's and keep the standard decorator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform  # in typing since Python 3.11
else:

    def dataclass_transform(**_: object) -> Callable[[Any], Any]:  # noqa: D103 - stands in for the one above
        return lambda decorator: decorator


_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def frozen(cls: type[_T]) -> type[_T]:
    """Make a class what `dataclass(frozen=True, kw_only=True)` makes of it; a method that it has is kept.

    `dataclasses.replace`, `asdict` and `fields` take its instances. Setting an attribute a second time raises
    `FrozenInstanceError`; `functools.cached_property` works.
    """
    made = dataclass(kw_only=True, repr=False, eq=False)(cls)
    for name, method in _SHARED.items():
        if name not in vars(cls):
            setattr(made, name, method)
    return made


def _compared(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, f.name) for f in fields(self) if f.compare)


def _eq(self: object, other: object) -> bool:
    return _compared(self) == _compared(other) if type(self) is type(other) else NotImplemented


def _hash(self: object) -> int:
    return hash(_compared(self))


def _repr(self: Any) -> str:
    shown = (f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _set_once(self: object, name: str, value: object) -> None:
    if name in vars(self):
        raise FrozenInstanceError(f"cannot assign to field {name!r}")
    vars(self)[name] = value


def _delete(_self: object, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


_SHARED = {
    "__eq__": _eq,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _set_once,
    "__delattr__": _delete,
}
