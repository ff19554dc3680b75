"""A leaf's value with its type, as bytes to be encrypted and as YAML text to be read."""

from __future__ import annotations

import re

from msgspec import Struct
from yaml.nodes import ScalarNode

from vosctl.secret import Secret
from vosctl.site.text import lint

BLOCK = 32  # plaintexts are padded to multiples of this, so that a length says little
_KINDS = "sibnf"
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@+-]*")


class Typed(Struct, frozen=True):
    """A scalar: ``kind`` is s (string), i (integer), b (boolean), n (null) or f (a number kept as written)."""

    kind: str
    secret: Secret


def string(text: str) -> Typed:
    """Return text as a value."""
    return Typed("s", Secret(text))


def of_plain(plain: lint.Plain, text: str) -> Typed:
    """Return what a plain scalar means (one without a rule against it)."""
    if plain.value is None:
        return Typed("n", Secret(""))
    if isinstance(plain.value, bool):
        return Typed("b", Secret("true" if plain.value else "false"))
    if isinstance(plain.value, int):
        return Typed("i", Secret(str(plain.value)))
    return Typed("f" if plain.number else "s", Secret(text))


def of_node(node: ScalarNode) -> tuple[Typed, str]:
    """Return the value of a scalar as the site's loader would read it, and the rule against it, if any."""
    if node.style:
        return string(node.value), ""
    plain = lint.resolve(node.value)
    return of_plain(plain, node.value), plain.rule


def pack(value: Typed) -> bytes:
    """Return kind and text, then 0x80 and zeros up to a multiple of 32 (ISO/IEC 7816-4 padding)."""
    data = (value.kind + value.secret.reveal()).encode() + b"\x80"
    return data + bytes(-len(data) % BLOCK)


def unpack(data: bytes) -> Typed | None:
    """Return the value, or None where the bytes are none."""
    body, mark, _ = data.rpartition(b"\x80")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return Typed(text[0], Secret(text[1:])) if mark and text[:1] and text[0] in _KINDS else None


def render(value: Typed) -> str:
    """Return the value as a YAML scalar in one line."""
    text = value.secret.reveal()
    if value.kind == "n":
        return "null"
    if value.kind != "s":
        return text
    plain = lint.resolve(text)
    if _PLAIN.fullmatch(text) and plain.value == text and not plain.rule and not text.startswith("vos1."):
        return text
    return quoted(text)


def quoted(text: str) -> str:
    """Return text in double quotes, everything that is not printable escaped (YAML 1.2.2 §5.7)."""
    return '"' + "".join(map(_escaped, text)) + '"'


def literal(value: Typed, indent: int) -> str | None:
    """Return a string of several lines as a literal block, its lines indented; None where one would not say the same."""
    text = value.secret.reveal()
    body = text.removesuffix("\n")
    lines = body.split("\n")
    if value.kind != "s" or len(lines) < 2 or not lines[0] or not lines[-1] or lines[0][0] == " ":
        return None
    if any(not line.isprintable() or (line and not line.strip()) for line in lines):
        return None
    pad = "\n" + " " * indent
    return ("|" if text.endswith("\n") else "|-") + "".join(pad + line if line else "\n" for line in lines)


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    if char in "\n\t":
        return "\\n" if char == "\n" else "\\t"
    number = ord(char)
    return (
        f"\\x{number:02x}"
        if number < 0x100
        else f"\\u{number:04x}"
        if number < 0x10000
        else f"\\U{number:08x}"
    )
