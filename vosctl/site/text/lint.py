"""What a plain YAML scalar means (YAML 1.2 core schema), and where other readers would see something else."""

from __future__ import annotations

import re

from msgspec import Struct

_CONSTANTS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_BOOLEANS_1_1 = {"yes": True, "on": True, "no": False, "off": False}

_INTEGER = re.compile(r"[-+]?[0-9]+")
_RADIX = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE](?P<exponent>[-+]?[0-9]+))?")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_NUMBER_1_1 = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*(?:\.[0-9_]*)?)")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_DISPUTED = (
    ("yaml-sexagesimal", _SEXAGESIMAL),
    ("yaml-number", _NOT_FINITE),
    ("yaml-unquoted-digits", _NUMBER_1_1),
)

_MAX_DIGITS = 18  # a 64-bit integer holds any number of 18 digits
_MAX_FLOAT = 60
_MAX_EXPONENT = 30
_MAX_SHOWN = 40


class Plain(Struct, frozen=True):
    """A plain scalar's meaning; ``rule`` names what is wrong with it, if anything.

    ``number`` is set for a float, whose value stays the text (see ``tree.Scalar``).
    """

    value: str | int | bool | None
    number: bool = False
    rule: str = ""


class Advice(Struct, frozen=True):
    """A rule's message and hint for one scalar."""

    message: str
    hint: str


def resolve(text: str) -> Plain:
    """Return what the plain scalar ``text`` is under the YAML 1.2 core schema (YAML 1.2.2 §10.3.2).

    Where YAML 1.1 readers disagree, the value is the text and ``rule`` says why it must be quoted.
    """
    if text in _CONSTANTS:
        return Plain(_CONSTANTS[text])
    first = text[0]
    if first.isdigit() or first in "+-.":
        return _number(text)
    if first in "yYnNoO" and _boolean_1_1(text) is not None:
        return Plain(text, rule="yaml-boolean")
    return Plain(text)


def resolve_argument(text: str) -> Plain:
    """Return what ``text`` is where no quotes can be asked for (a value on the command line).

    Whatever is ambiguous in a file is a string here.
    """
    plain = resolve(text)
    return Plain(text) if plain.rule else plain


def resolve_key(text: str) -> Plain:
    """Return a mapping key's meaning: the value is always ``text``; anything but a plain word has a rule."""
    plain = resolve(text)
    if plain.rule:
        return Plain(text, rule=plain.rule)
    if plain.value is None:
        return Plain(text, rule="yaml-key")
    if isinstance(plain.value, bool):
        return Plain(text, rule="yaml-boolean")
    if isinstance(plain.value, int) or plain.number:
        return Plain(text, rule="yaml-unquoted-digits")
    return Plain(text)


def advise(rule: str, text: str, *, key: bool = False) -> Advice:
    """Return message and hint for a scalar that ``resolve`` or ``resolve_key`` found wrong."""
    shown = text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"
    quoted = '"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'
    colon = ":" if key else ""
    if rule == "yaml-boolean":
        return _advise_boolean(shown, quoted, key=key)
    if rule == "yaml-sexagesimal":
        return Advice(
            f"{shown} without quotes is a number to base 60 for many YAML readers",
            f"write {quoted}{colon}",
        )
    if rule == "yaml-key":
        return Advice(
            f"the key is {'empty' if not text else shown}, not a name", "write a name before the colon"
        )
    if rule == "yaml-number":
        return Advice(f"{shown} is not a usable number", f"write a finite number, or {quoted} for the text")
    return Advice(
        f"{shown} without quotes is read as a number, and the digits as written are lost",
        f"write {quoted}{colon}" + _plain_number(text, key=key),
    )


def _boolean_1_1(text: str) -> bool | None:
    if text not in (text.lower(), text.upper(), text.capitalize()):
        return None
    return _BOOLEANS_1_1.get(text.lower())


def _number(text: str) -> Plain:
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if match := _FLOAT.fullmatch(text):
        too_big = len(text) > _MAX_FLOAT or abs(int(match["exponent"] or 0)) > _MAX_EXPONENT
        return Plain(text, rule="yaml-number") if too_big else Plain(text, number=True)
    if _RADIX.fullmatch(text) and len(text) <= _MAX_DIGITS:
        return Plain(int(text, 0))
    return Plain(text, rule=next((rule for rule, pattern in _DISPUTED if pattern.fullmatch(text)), ""))


def _integer(text: str) -> Plain:
    digits = text.lstrip("+-")
    padded = len(digits) > 1 and digits[0] == "0"
    if padded or text[0] == "+" or len(digits) > _MAX_DIGITS:
        return Plain(text, rule="yaml-unquoted-digits")
    return Plain(int(text))


def _plain_number(text: str, *, key: bool) -> str:
    digits = text.lstrip("+").replace("_", "")
    if key or not digits.lstrip("-").isdigit() or len(digits) > _MAX_DIGITS:
        return ""
    return f", or {int(digits)} if it is a quantity"


def _advise_boolean(shown: str, quoted: str, *, key: bool) -> Advice:
    message = f"{shown} without quotes is true or false for many YAML readers"
    if key:
        return Advice(message, f"write {quoted}:")
    truth = _boolean_1_1(shown)
    word = "true" if truth else "false"
    return Advice(message, f"write {quoted} for the word, or {word} for the truth value")
