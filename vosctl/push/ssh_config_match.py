"""What ssh_config files say about one host: Host, Match and Include, the first value wins."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field

from vosctl.push.ssh_config_file import Line, split
from vosctl.push.ssh_config_rules import FOLLOWED, LISTS, check, listed, matches

EXEC_LIMIT = 10.0
_UNSUPPORTED = ("canonical", "localnetwork", "tagged", "sessiontype", "command", "version")


class Target(Struct, frozen=True):
    """Who wants to go where: ``host`` as given, ``user`` and ``port`` if they are chosen already."""

    host: str
    user: str | None
    port: int | None
    local_user: str
    home: Path


class Settings(Struct):
    """The lines that apply to a target: one a keyword, several for lists."""

    target: Target
    single: dict[str, Line] = field(default_factory=dict)
    several: dict[str, list[Line]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()

    def value(self, keyword: str) -> str | None:
        """Return the first word of a keyword's line."""
        line = self.single.get(keyword)
        return line.words[0] if line is not None else None

    @property
    def hostname(self) -> str:
        """The name to connect to, by HostName."""
        name = self.value("hostname")
        line = self.single.get("hostname")
        if name is None or line is None:
            return self.target.host.lower()
        return percent(name, {"h": self.target.host}, line).lower()

    @property
    def user(self) -> str:
        """The login: chosen, else by User, else the local one."""
        return self.target.user or self.value("user") or self.target.local_user

    @property
    def port(self) -> int:
        """The port: chosen, else by Port, else 22."""
        return self.target.port or int(self.value("port") or 22)


class Resolver:
    """Applies the lines of files to targets; ``Match exec`` runs each command once a resolver."""

    def __init__(self, files: Sequence[tuple[Line, ...]]) -> None:
        self._files = files
        self._final = any(_asks_final(line) for lines in files for line in _all(lines))
        self._ran: dict[str, bool] = {}

    def resolve(self, target: Target) -> Settings:
        """Return what applies; raise UsageError, with file:line, for what cannot be followed."""
        settings = Settings(target)
        for final in (False, True) if self._final else (False,):
            name = settings.hostname if final else target.host
            if final:  # what HostName said by then stands
                settings.single["hostname"] = Line(Path(), 0, "hostname", (name.replace("%", "%%"),))
            for lines in self._files:
                _Pass(self, settings, name, final=final).walk(lines, active=True)
        return settings

    def succeeds(self, command: str, line: Line) -> bool:
        """Whether a command of ``Match exec`` ends with status 0."""
        if command not in self._ran:
            try:
                done = subprocess.run(
                    ["/bin/sh", "-c", command],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=EXEC_LIMIT,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise line.wrong(f"Match exec did not end within {EXEC_LIMIT:g} s: {command}") from error
            self._ran[command] = done.returncode == 0
        return self._ran[command]


class _Pass:
    """One walk through one file for one host."""

    def __init__(self, resolver: Resolver, settings: Settings, name: str, *, final: bool) -> None:
        self._resolver = resolver
        self._settings = settings
        self._name = name
        self._final = final

    def walk(self, lines: Sequence[Line], *, active: bool) -> None:
        """Go through lines; those of an Include in a block that does not apply never apply themselves."""
        outer = active
        for line in lines:
            if line.keyword == "host":
                active = self._host(line) and outer
            elif line.keyword == "match":
                active = self._match(line, reach=outer) and outer
            elif line.keyword == "include":
                for included in line.included:
                    self.walk(included, active=active)
            else:
                self._take(line, active=active)

    def _take(self, line: Line, *, active: bool) -> None:
        settings = self._settings
        if line.keyword == "ignoreunknown":
            if active and not settings.ignored:
                settings.ignored = tuple(line.words[0].split(",")) if line.words else ()
            return
        check(line, active=active, ignored=settings.ignored)
        if not active:
            return
        if line.keyword in LISTS:
            kept = settings.several.setdefault(line.keyword, [])
            if line not in kept:
                kept.append(line)
        elif line.keyword in FOLLOWED and not self._barred(line.keyword):
            settings.single.setdefault(line.keyword, line)

    def _barred(self, keyword: str) -> bool:
        """Of ProxyJump and ProxyCommand the first one that applies rules out the other; no jump rules out nothing."""
        if keyword == "proxyjump":
            return "proxycommand" in self._settings.single
        jump = self._settings.value("proxyjump") if keyword == "proxycommand" else None
        return jump is not None and jump.lower() != "none"

    def _host(self, line: Line) -> bool:
        if not line.words:
            raise line.wrong("Host has no pattern")
        found = False
        for pattern in line.words:
            if pattern.startswith("!") and matches(self._name, pattern[1:]):
                return False
            found = found or (not pattern.startswith("!") and matches(self._name, pattern))
        return found

    def _match(self, line: Line, *, reach: bool) -> bool:
        """Whether all conditions hold; those behind one that does not are not looked at, commands least of all."""
        conditions = tuple(_conditions(line))
        if not conditions:
            raise line.wrong("Match has no condition")
        holds = reach
        for word, argument in conditions:
            negated, name = word.startswith("!"), word.lstrip("!")
            if name in _UNSUPPORTED:
                if holds:
                    raise line.wrong(
                        f"Match {name} is not supported",
                        hint="host, originalhost, user, localuser, exec, final and all are",
                    )
                continue
            holds = holds and self._holds(name, argument, line) != negated
        return holds

    def _holds(self, name: str, argument: str, line: Line) -> bool:
        if name in ("all", "final"):
            return name == "all" or self._final
        if name == "exec":
            return self._resolver.succeeds(percent(argument, tokens(self._settings), line), line)
        if name in ("host", "originalhost"):
            return listed(self._text(name).lower(), argument.lower())
        return listed(self._text(name), argument)

    def _text(self, name: str) -> str:
        """Return what a condition of Match looks at."""
        settings = self._settings
        if name == "host":
            return settings.hostname if "hostname" in settings.single else self._name
        target = settings.target
        return {"originalhost": target.host, "user": settings.user, "localuser": target.local_user}[name]


def _conditions(line: Line) -> Iterator[tuple[str, str]]:
    """Yield the conditions of a Match line with their arguments; raise UsageError for what is none."""
    words = list(split(" ".join(line.words), line))
    while words:
        word, equals, argument = words.pop(0).partition("=")
        name = word.lower().lstrip("!")
        if name in ("all", "final", "canonical"):
            argument = ""
        elif name in ("host", "originalhost", "user", "localuser", "exec", *_UNSUPPORTED):
            if not equals and not words:
                raise line.wrong(f"Match {name} has no argument")
            argument = argument if equals else words.pop(0)
        else:
            raise line.wrong(f"Match knows no {word!r}")
        yield word.lower(), argument


def _asks_final(line: Line) -> bool:
    return line.keyword == "match" and any(word.lstrip("!") == "final" for word, _ in _conditions(line))


def _all(lines: Sequence[Line]) -> Iterator[Line]:
    for line in lines:
        yield line
        for included in line.included:
            yield from _all(included)


def tokens(settings: Settings) -> dict[str, str]:
    """Return the % tokens of ssh_config(5) that a target has."""
    target = settings.target
    return {
        "d": str(target.home),
        "h": settings.hostname,
        "k": settings.value("hostkeyalias") or target.host,
        "n": target.host,
        "p": str(settings.port),
        "r": settings.user,
        "u": target.local_user,
        **_machine(),
    }


def _machine() -> dict[str, str]:
    name = socket.gethostname()
    return {"L": name.partition(".")[0], "l": name, "i": str(os.getuid())}


def percent(text: str, known: Mapping[str, str], line: Line) -> str:
    """Return ``text`` with its % tokens replaced; raise UsageError for one that is not known here."""

    def value(found: re.Match[str]) -> str:
        if found[1] == "%":
            return "%"
        if found[1] not in known:
            raise line.wrong(f"%{found[1]} is not supported in {line.keyword}")
        return known[found[1]]

    return re.sub(r"%(.?)", value, text)
