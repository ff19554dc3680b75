"""Text from a node made safe for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return ``text`` with everything but tabs and printable characters as Python escapes.

    A file on a node may hold escape sequences that would rewrite the operator's screen.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\t" else ascii(char)[1:-1] for char in text)
