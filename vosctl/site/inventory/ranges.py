"""Host ranges as Ansible writes them: ``edge-[01:20]``, ``pop-[a:c]``, ``gw[0:100:10]``."""

from __future__ import annotations

import re
from string import ascii_letters

MAX_HOSTS = 10_000

_RANGE = re.compile(r"\[(?P<first>[^\[\]:]*):(?P<last>[^\[\]:]+)(?::(?P<step>[0-9]{1,6}))?\]")
_PORT = re.compile(r"(?P<name>.*[^:]):(?P<port>[0-9]{1,5})", re.DOTALL)
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9_.-]+)?")


def expand(text: str) -> tuple[tuple[str, ...], int | None]:
    """Return the host names that ``text`` stands for, and the port behind it, if there is one.

    Raises ValueError with what is wrong in words. At most MAX_HOSTS names.
    """
    pattern, port = _split_port(text)
    names = _ranges(pattern)
    for name in names:
        if not _NAME.fullmatch(name) and not _IPV6.fullmatch(name):
            raise ValueError(
                f"{name!r} is no host name: letters, digits, dots, hyphens and underscores make one"
            )
    return names, port


def _split_port(text: str) -> tuple[str, int | None]:
    if _IPV6.fullmatch(text):
        return text, None
    match = _PORT.fullmatch(text)
    if match is None or (match["name"].count("[") != match["name"].count("]")):
        return text, None
    port = int(match["port"])
    if not 0 < port < 65536:
        raise ValueError(f"{port} is no TCP port: ports are 1 to 65535")
    name = match["name"]
    bracketed = name.startswith("[") and name.endswith("]") and _IPV6.fullmatch(name[1:-1])
    return (name[1:-1] if bracketed else name), port


def _ranges(pattern: str) -> tuple[str, ...]:
    names = [""]
    end = 0
    for match in _RANGE.finditer(pattern):
        steps = _steps(match)
        if len(names) * len(steps) > MAX_HOSTS:
            raise ValueError(f"the range stands for more than {MAX_HOSTS} hosts")
        names = [name + pattern[end : match.start()] + step for name in names for step in steps]
        end = match.end()
    return tuple(name + pattern[end:] for name in names)


def _steps(match: re.Match[str]) -> list[str]:
    first, last = match["first"] or "0", match["last"]
    step = int(match["step"] or 1)
    if step < 1:
        raise ValueError(f"the step of {match[0]} must be 1 or more")
    if first.isdecimal() and last.isdecimal():
        return _numbers(match[0], first, last, step)
    if len(first) == len(last) == 1 and first in ascii_letters and last in ascii_letters:
        begin, end = ascii_letters.index(first), ascii_letters.index(last)
        if begin > end:
            raise ValueError(f"the range {match[0]} runs backwards")
        return list(ascii_letters[begin : end + 1 : step])
    raise ValueError(f"the range {match[0]} needs two numbers or two letters")


def _numbers(text: str, first: str, last: str, step: int) -> list[str]:
    if max(len(first), len(last)) > 9 or int(last) - int(first) >= MAX_HOSTS * step:
        raise ValueError(f"the range stands for more than {MAX_HOSTS} hosts")
    padded = first[0] == "0" and len(first) > 1
    if padded and len(first) != len(last):
        raise ValueError(f"both ends of {text} need the same number of digits")
    if int(first) > int(last):
        raise ValueError(f"the range {text} runs backwards")
    width = len(first) if padded else 0
    return [str(number).zfill(width) for number in range(int(first), int(last) + 1, step)]
