"""Bencoding as the NG protocol uses it: integers, strings, lists, dictionaries; bounded in depth and size.

Strings are bytes on the wire and ``str`` here, by UTF-8 with ``surrogateescape``, so that any bytes
(an SDP in Latin-1, say) come out again as they came in.
"""

from __future__ import annotations

import functools
from typing import Any, Dict, List, Tuple, Union

Value = Union[int, str, List["Value"], Dict[str, "Value"]]

MAX_DEPTH = 16
MAX_ITEMS = 4096
MAX_INTEGER_DIGITS = 20
MAX_LENGTH_DIGITS = 7


class BencodeError(ValueError):
    """The bytes are not bencode, or exceed the bounds."""


def encode(value: Value) -> bytes:
    """Return ``value`` bencoded; dictionaries keep their order, ``TypeError`` for any other type."""
    parts: List[str] = []
    _encode(value, parts)
    return "".join(parts).encode("latin-1")


def _text(value: str) -> str:
    """Return the string with its length before it; as in ``_Decoder``, each character stands for a byte."""
    if not value.isascii():
        value = value.encode("utf-8", "surrogateescape").decode("latin-1")
    return f"{len(value)}:{value}"


# Keys are a few dozen words that every reply repeats.
_key = functools.lru_cache(maxsize=512)(_text)


def _encode(value: Value, parts: List[str]) -> None:
    if isinstance(value, str):
        parts.append(_text(value))
    elif isinstance(value, bool):
        raise TypeError("bencode has no booleans")
    elif isinstance(value, int):
        parts.append(f"i{value}e")
    elif isinstance(value, dict):
        _encode_dictionary(value, parts)
    elif isinstance(value, (list, tuple)):
        parts.append("l")
        for item in value:
            _encode(item, parts)
        parts.append("e")
    else:
        raise TypeError(f"bencode has no {type(value).__name__}")


def _encode_dictionary(value: Dict[str, Value], parts: List[str]) -> None:
    parts.append("d")
    for key, item in value.items():
        if type(item) is int:
            parts.append(f"{_key(key)}i{item}e")
        elif type(item) is str:
            parts.append(_key(key) + _text(item))
        else:
            parts.append(_key(key))
            if type(item) is dict:
                _encode_dictionary(item, parts)
            else:
                _encode(item, parts)
    parts.append("e")


def decode(data: bytes) -> Value:
    """Return the one value that ``data`` holds; blanks and line ends may follow it.

    Keys need not be sorted and the last of two equal keys wins, as in the daemons that speak NG.
    Raises ``BencodeError``.
    """
    value, end = _Decoder(data).value(0, 0)
    if data[end:].strip(b" \r\n\t\0"):
        raise BencodeError(f"{len(data) - end} bytes after the end")
    return value


class _Decoder:
    """Recursive descent over ``data``; every method takes a position and returns the next one.

    The bytes are read as Latin-1, in which each is one character: positions stay what they are, and only
    strings that are not ASCII have to be decoded for themselves.
    """

    def __init__(self, data: bytes) -> None:
        self._text = data.decode("latin-1")
        self._items = 0

    def value(self, at: int, depth: int) -> Tuple[Value, int]:
        self._items += 1
        if self._items > MAX_ITEMS:
            raise BencodeError(f"more than {MAX_ITEMS} values")
        kind = self._text[at : at + 1]
        if kind.isdecimal():
            return self._string(at)
        if kind == "i":
            return self._integer(at)
        if depth >= MAX_DEPTH:
            raise BencodeError(f"nested deeper than {MAX_DEPTH}")
        if kind == "d":
            return self._dictionary(at + 1, depth + 1)
        if kind == "l":
            return self._list(at + 1, depth + 1)
        raise BencodeError(f"no value at byte {at}")

    def _string(self, at: int) -> Tuple[str, int]:
        text = self._text
        colon = text.find(":", at, at + MAX_LENGTH_DIGITS + 1)
        digits = text[at:colon]
        if colon < 0 or not digits.isdecimal():
            raise BencodeError(f"bad string length at byte {at}")
        end = colon + 1 + int(digits)
        if end > len(text):
            raise BencodeError(f"the string at byte {at} runs past the end")
        found = text[colon + 1 : end]
        if not found.isascii():
            found = found.encode("latin-1").decode("utf-8", "surrogateescape")
        return found, end

    def _integer(self, at: int) -> Tuple[int, int]:
        end = self._text.find("e", at, at + MAX_INTEGER_DIGITS + 3)
        digits = self._text[at + 1 : end]
        if end < 0 or not digits[digits.startswith("-") :].isdecimal():
            raise BencodeError(f"bad integer at byte {at}")
        return int(digits), end + 1

    def _list(self, at: int, depth: int) -> Tuple[List[Value], int]:
        result: List[Value] = []
        while self._text[at : at + 1] != "e":
            item, at = self.value(at, depth)
            result.append(item)
        return result, at + 1

    def _dictionary(self, at: int, depth: int) -> Tuple[Dict[str, Value], int]:
        result: Dict[str, Any] = {}
        while self._text[at : at + 1] != "e":
            if not self._text[at : at + 1].isdecimal():
                raise BencodeError(f"no key at byte {at}")
            key, at = self._string(at)
            result[key], at = self.value(at, depth)
        return result, at + 1
