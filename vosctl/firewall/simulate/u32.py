"""The u32 match: numbers read from the packet, shifted and masked (iptables-extensions(8), xt_u32)."""

from __future__ import annotations

from msgspec import Struct

from vosctl.firewall.simulate.packet import Image
from vosctl.firewall.simulate.rules import U32, Span, U32Test

_WORD = 0xFFFFFFFF


class _Number(Struct, frozen=True):
    """32 bits, of which those in ``known`` are known."""

    value: int
    known: int


class _OutsideError(Exception):
    """The packet ends before the number: the test does not hold."""


class _UnknownError(Exception):
    """The number stands where the packet is not known."""


def u32_holds(test: U32, seen: Image) -> bool | None:
    """Return whether all tests of the match hold; a number beyond the packet's end makes one fail."""
    answers = [_test(one, seen) for one in test.tests]
    if False in answers:
        return False
    return None if None in answers else True


def _test(test: U32Test, seen: Image) -> bool | None:
    base, number = 0, _Number(0, _WORD)
    try:
        for operator, value in test.steps:
            if operator == "at":
                number = _read(seen, value)
            elif operator == "@":
                base += _sure(number)
                number = _read(seen, base + value)
            else:
                number = _bits(number, operator, value)
    except _OutsideError:
        return False
    except _UnknownError:
        return None
    return _in_spans(number, test.spans)


def _read(seen: Image, at: int) -> _Number:
    if at + 4 > len(seen.data):
        raise _OutsideError if seen.complete else _UnknownError
    return _Number(*(int.from_bytes(part[at : at + 4], "big") for part in (seen.data, seen.known)))


def _sure(number: _Number) -> int:
    if number.known != _WORD:
        raise _UnknownError
    return number.value


def _bits(number: _Number, operator: str, value: int) -> _Number:
    if operator == "&":
        return _Number(number.value & value, (number.known | ~value) & _WORD)
    if operator == "<<":
        filled = (1 << min(value, 32)) - 1
        return _Number(number.value << value & _WORD, (number.known << value | filled) & _WORD)
    filled = ~(_WORD >> value) & _WORD
    return _Number(number.value >> value, number.known >> value | filled)


def _in_spans(number: _Number, spans: tuple[Span, ...]) -> bool | None:
    """Return whether the number is in a span; with unknown bits it lies between all 0 and all 1."""
    low, high = number.value & number.known, (number.value | ~number.known) & _WORD
    if any(first <= low and high <= last for first, last in spans):
        return True
    return None if any(first <= high and low <= last for first, last in spans) else False
