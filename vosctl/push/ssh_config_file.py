"""Reads ssh_config files into lines that know their place, as ssh_config(5) lays them down."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from vosctl.errors import UsageError

MAX_DEPTH = 16

# What follows these is a shell command, up to the end of the line, quotes and all.
_RAW = frozenset({"proxycommand", "localcommand", "remotecommand", "knownhostscommand", "match"})
_KEYWORD = re.compile(r'[ \t]*(?:"([^"]*)"|([^\s="]+))[ \t]*=?[ \t]*')


class Line(Struct, frozen=True):
    """One setting: its keyword in lower case, its words, and the file and line that it stands on."""

    path: Path
    number: int
    keyword: str
    words: tuple[str, ...]
    included: tuple[tuple[Line, ...], ...] = ()

    @property
    def where(self) -> str:
        """``file:line``."""
        return f"{self.path}:{self.number}"

    def wrong(self, message: str, *, hint: str = "") -> UsageError:
        """Return the error that this line is."""
        return UsageError(f"{self.where}: {message}", hint=hint or "man ssh_config says what may stand here")


class Reader(Struct, frozen=True):
    """Reads files; ``base`` is where relative Includes lie, ``home`` what ``~`` stands for."""

    base: Path
    home: Path

    def read(self, path: Path, *, required: bool = False) -> tuple[Line, ...] | None:
        """Return a file's lines, None for one that is not there; raise UsageError for what is wrong in it."""
        return self._read(path, required=required, depth=0)

    def _read(self, path: Path, *, required: bool, depth: int) -> tuple[Line, ...] | None:
        try:
            text = path.read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError as error:
            if not required:
                return None
            raise _unreadable(path, error) from error
        except OSError as error:
            raise _unreadable(path, error) from error
        return tuple(self._lines(path, text, depth))

    def _lines(self, path: Path, text: str, depth: int) -> Iterator[Line]:
        for number, raw in enumerate(text.split("\n"), 1):
            line = _line(path, number, raw)
            if line is None:
                continue
            if line.keyword == "include":
                yield Line(path, number, "include", line.words, tuple(self._included(line, depth)))
            else:
                yield line

    def _included(self, line: Line, depth: int) -> Iterator[tuple[Line, ...]]:
        if depth >= MAX_DEPTH:
            raise line.wrong(
                f"Include goes {MAX_DEPTH + 1} files deep",
                hint="does a file include itself, by a glob perhaps?",
            )
        for word in line.words:
            pattern = self.home / word[2:] if word.startswith("~/") else self.base / word
            for name in sorted(glob.glob(str(pattern))):  # noqa: PTH207  the pattern may be absolute
                found = self._read(Path(name), required=False, depth=depth + 1)
                if found is not None:
                    yield found


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path}: {error.strerror}", hint="--ssh-config names an ssh_config file")


def _line(path: Path, number: int, raw: str) -> Line | None:
    text = raw.strip(" \t\r\f")
    if not text or text.startswith("#"):
        return None
    found = _KEYWORD.match(text)
    if found is None:
        raise Line(path, number, "", ()).wrong(f"this is no setting: {text}")
    keyword = (found[1] if found[1] is not None else found[2]).lower()
    rest = text[found.end() :]
    plain = Line(path, number, keyword, (rest,) if rest else ())
    if keyword in _RAW:
        return plain
    return Line(path, number, keyword, split(rest, plain))


def split(text: str, line: Line) -> tuple[str, ...]:
    """Return the words of ``text``: quotes hold blanks, backslashes quotes, and a word in # ends it all."""
    words: list[str] = []
    at = 0
    while at < len(text):
        if text[at] in " \t":
            at += 1
        elif text[at] == "#":
            break
        else:
            word, at = _word(text, at, line)
            words.append(word)
    return tuple(words)


def _word(text: str, at: int, line: Line) -> tuple[str, int]:
    made: list[str] = []
    quote = ""
    while at < len(text):
        char = text[at]
        if char == "\\" and text[at + 1 : at + 2] in _escapable(quote):
            made.append(text[at + 1])
            at += 2
            continue
        if not quote and char in " \t":
            break
        if not quote and char in "'\"":
            quote = char
        elif quote and char == quote:
            quote = ""
        else:
            made.append(char)
        at += 1
    if quote:
        raise line.wrong(f"a quote {quote} is not closed")
    return "".join(made), at


def _escapable(quote: str) -> tuple[str, ...]:
    return ("'", '"', "\\") if quote else ("'", '"', "\\", " ")


def expand_variables(text: str, line: Line) -> str:
    """Return ``text`` with each ``${NAME}`` replaced from the environment; one that is not set is an error."""

    def value(found: re.Match[str]) -> str:
        if (known := os.environ.get(found[1])) is None:
            raise line.wrong(f"the environment variable {found[1]} is not set")
        return known

    return re.sub(r"\$\{([^}]*)\}", value, text)
