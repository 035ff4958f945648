"""What systems say: how a process ended, and why a call failed, in each form in which programs pass it on."""

from __future__ import annotations

from typing import Final

_SIGNAL_BASE: Final = 128
_WORD, _LONG = 1 << 32, 1 << 64
# What a program writes before the number, with what of its sentence may stand before that.
_VERB: Final = r"(process )?(finished with |terminated with |failed with |died with |returned non-zero )?"
_BEFORE: Final = (
    rf"{_VERB}\bexit code:? \(?",
    rf"{_VERB}\bexit status:? ",
    r"([\w.-]{1,60} (has )?)?\bexited with (code|status) ",
    r"exitcode\b:? ",
    r"Windows Error ",
)

# Windows' own, from ntstatus.h.
ACCESS_VIOLATION: Final = 0xC0000005
ILLEGAL_INSTRUCTION: Final = 0xC000001D
STACK_OVERFLOW: Final = 0xC00000FD
LIBRARY_MISSING: Final = 0xC0000135
ENTRY_MISSING: Final = 0xC0000139
LIBRARY_FAILED: Final = 0xC0000142
HEAP_CORRUPT: Final = 0xC0000374
FAIL_FAST: Final = 0xC0000409
CPP_EXCEPTION: Final = 0xE06D7363


def ended(*, signals: tuple[int, ...] = (), statuses: tuple[int, ...] = ()) -> tuple[str, ...]:
    """Return patterns for a process that one of these signals, or Windows with one of these statuses, ended."""
    numbers = [str(n) for signal in signals for n in (_SIGNAL_BASE + signal, -signal)]
    for status in statuses:
        numbers += [f"0x{status:x}", *map(str, (status, status - _WORD, status - _WORD + _LONG))]
    return tuple(f"{before}({'|'.join(numbers)})(?!\\.?\\d)" for before in _BEFORE)


def refused(*reasons: str) -> tuple[str, ...]:
    """Return patterns for the texts of error numbers, as Python, Rust and C or Go write them.

    The numbers differ from system to system, the texts hardly.
    """
    return tuple(
        form
        for reason in reasons
        for form in (rf"\[Errno \d{{1,5}}\] {reason}", rf"{reason} \((os error )?\d{{1,5}}\)", rf"(^|: ){reason}$")
    )
