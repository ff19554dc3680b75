"""The subcommands and the modules that hold them; a module is imported when one of its commands is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module

import click

# What vosctl is not asked for need not be imported: all the modules together take longer than a run without changes.
MODULES = {
    "apply": "applying",
    "ban": "ban",
    "bans": "ban",
    "blame": "blame",
    "calls": "calls",
    "compile": "site",
    "completion": "site",
    "confirm": "nodes",
    "counters": "counters",
    "demo": "demo",
    "diff": "diff",
    "drain": "drain",
    "drift": "nodes",
    "explain": "site",
    "facts": "nodes",
    "history": "nodes",
    "init": "init",
    "inventory": "inventory",
    "keys": "keys",
    "plan": "applying",
    "rates": "rates.group",
    "rollback": "nodes",
    "rotate-keys": "rotate",
    "ssh-keyscan": "ssh_keyscan",
    "status": "status",
    "trace": "trace",
    "unban": "ban",
    "validate": "site",
    "vault": "vault",
}


class Commands(MutableMapping[str, click.Command]):
    """Commands by name, as click wants them: all names at once, each command when it is looked up."""

    def __init__(self, modules: Mapping[str, str] = MODULES, package: str = "vosctl.cli") -> None:
        """Take the module of each command, below ``package``."""
        self._modules, self._package = dict(modules), package
        self._found: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        """Return the command, imported; raise KeyError where there is none of that name."""
        if name not in self._found:
            module = import_module(f"{self._package}.{self._modules[name]}")
            self._found.update((str(command.name), command) for command in module.COMMANDS)
        return self._found[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        """Add a command that is there already."""
        self._found[name] = command
        self._modules[name] = ""

    def __delitem__(self, name: str) -> None:
        """Take a command away."""
        del self._modules[name]
        self._found.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        """Yield the names; nothing is imported for that."""
        return iter(self._modules)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._modules)

    def __contains__(self, name: object) -> bool:
        """Whether there is a command of that name; nothing is imported for that."""
        return name in self._modules
