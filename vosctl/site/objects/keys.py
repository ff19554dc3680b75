"""Builds trunk keys and looks at their values the one time that they are in plain sight."""

from __future__ import annotations

import re
from itertools import pairwise

from msgspec import Struct

from vosctl.secret import Secret
from vosctl.site.model import Encryption, Key
from vosctl.site.objects.fields import Fields
from vosctl.site.objects.scalars import parse_moment
from vosctl.site.tree import Mark

_FEW = 6
_RUN = 6
_GUESSED = re.compile(
    r"passw|secret|encrypt|securekey|mykey|qwert|admin|vos3000|12345|abcde|letmein", re.IGNORECASE
)


class KeyFacts(Struct, frozen=True):
    """What may be said of a key's value without showing it."""

    length: int
    weakness: str


def build_key(name: str, fields: Fields, mark: Mark) -> tuple[Key, KeyFacts] | None:
    """Return the key and what is known of its value; None where it has no value.

    ``mark`` is where its name stands. What no mode takes is a problem; lengths depend on the
    mode and are looked at per trunk.
    """
    value = fields.text("value")
    if value is None:
        if "value" not in fields:
            hint = "add value: with 16 random ASCII letters and digits"
            fields.problems.error(
                "missing-key", f"key '{name}' lacks value", mark, path=fields.path, hint=hint
            )
        return None
    _check_characters(fields, value)
    mode = next((each for each in Encryption if each.value == fields.text("mode")), None)
    created = fields.parsed("created", parse_moment)
    key = Key(name, Secret(value), fields.mark("value"), mode, created)
    return key, KeyFacts(len(value), _weakness(value))


def _check_characters(fields: Fields, value: str) -> None:
    ends = [end for end, blank in (("begins", value[:1].isspace()), ("ends", value[-1:].isspace())) if blank]
    if ends:
        message = f"the key {' and '.join(ends)} with a blank"
        hint = "a blank at an end is invisible and often lost on the other side: no audio"
        fields.error("key-blank", message, key="value", hint=hint)
    first = len(value) - len(value.lstrip())
    inner = enumerate(value.strip(), first + 1)
    strange = [str(place) for place, char in inner if not (char.isascii() and char.isalnum())]
    if strange:
        one = len(strange) == 1
        places = ", ".join(strange[:5]) + (" and on" if len(strange) > 5 else "")
        message = (
            f"{len(strange)} of the key's {len(value)} characters {'is' if one else 'are'} neither an ASCII letter"
            f" nor a digit (at position{'' if one else 's'} {places})"
        )
        hint = "other characters are encoded or escaped differently by the two ends: no audio"
        fields.error("key-characters", message, key="value", hint=hint)


def _weakness(value: str) -> str:
    """Return why the value is easily guessed, without quoting it, or nothing."""
    if _GUESSED.search(value):
        return "it holds a word that guessers try first"
    if len(value) > 1 and value in (value + value)[1:-1]:
        return "it repeats one piece"
    if len(set(value)) < min(_FEW, len(value)):
        return f"it has only {len(set(value))} different characters"
    if _has_run(value):
        return "it holds a run of neighbouring characters"
    return ""


def _has_run(value: str) -> bool:
    """Whether _RUN characters follow each other upwards or downwards, as in 456789."""
    for step in (1, -1):
        length = 1
        for before, after in pairwise(value):
            length = length + 1 if ord(after) - ord(before) == step else 1
            if length >= _RUN:
                return True
    return False
