"""A service with a script in /etc/init.d, for nodes without systemd."""

from __future__ import annotations

import os

from vosctl.push.agent import command
from vosctl.push.agent.errors import AgentError

FOLDER = "/etc/init.d"
SECONDS = 60.0


class InitScript:
    """Drives one init script (LSB: start, stop, status, force-reload)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._script = f"{FOLDER}/{name}"

    @property
    def known(self) -> bool:
        """Whether there is such a script."""
        return os.access(self._script, os.X_OK)

    def identity(self) -> tuple[int, int] | None:
        """Return None: a script does not tell which process is the service."""
        return None

    def running(self) -> bool:
        """Return whether the script's ``status`` says so."""
        return self.known and command.run((self._script, "status"), seconds=SECONDS).code == 0

    def enabled(self) -> bool:
        """Return whether a run level starts it."""
        return any(self._starts(f"/etc/rc{level}.d") for level in (2, 3, 4, 5))

    def _starts(self, folder: str) -> bool:
        try:
            names = os.listdir(folder)
        except OSError:
            return False
        return any(name.startswith("S") and name[3:] == self.name for name in names)

    def enable(self, on: bool) -> None:  # noqa: FBT001
        """Have it started at boot or not; raises AgentError."""
        if command.find("update-rc.d"):
            self._run(("update-rc.d", self.name, "defaults" if on else "disable"))
            if on:
                self._run(("update-rc.d", self.name, "enable"))
        elif command.find("chkconfig"):
            self._run(("chkconfig", self.name, "on" if on else "off"))

    def start(self) -> None:
        """Start it; raises AgentError when ``status`` does not say that it runs then."""
        self._run((self._script, "start"))
        if not self.running():
            raise self._error("does not run after its start")

    def stop(self) -> None:
        """Stop it; raises AgentError."""
        self._run((self._script, "stop"))

    def reload(self) -> None:
        """Make it read its configuration (``reload``, else ``force-reload``); raises AgentError."""
        if command.run((self._script, "reload"), seconds=SECONDS, detach=True).code:
            self._run((self._script, "force-reload"))

    def _run(self, arguments: tuple[str, ...]) -> None:
        result = command.run(arguments, seconds=SECONDS, detach=True)
        if result.code:
            raise self._error(f"{' '.join(arguments)}: {result.reason}")

    def _error(self, what: str) -> AgentError:
        return AgentError(
            "io",
            f"service {self.name} {what}",
            hint=f"try on the node: {self._script} start",
            item=self.name,
            step="services",
        )
