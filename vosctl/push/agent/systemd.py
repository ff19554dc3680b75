"""A service that systemd runs."""

from __future__ import annotations

import time

from vosctl.push.agent import command, process
from vosctl.push.agent.errors import AgentError

UNITS = "/etc/systemd/system"
SETTLE = 0.3
SECONDS = 120.0


class Systemd:
    """Drives ``systemctl`` for one unit."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._unit = (
            name if name.rpartition(".")[2] in ("service", "socket", "timer", "path") else f"{name}.service"
        )

    def _show(self) -> dict[str, str]:
        properties = "LoadState,ActiveState,UnitFileState,MainPID"
        result = command.run(("systemctl", "show", "-p", properties, self._unit))
        if result.code:
            raise self._error(f"systemctl show: {result.reason}")
        return dict(line.partition("=")[::2] for line in result.out.splitlines())

    @property
    def known(self) -> bool:
        """Whether systemd has such a unit."""
        return self._show().get("LoadState") not in ("not-found", None)

    def identity(self) -> tuple[int, int] | None:
        """Return the main process' pid and start time, None when there is none."""
        pid = int(self._show().get("MainPID") or 0)
        start = process.started(pid) if pid else None
        return (pid, start) if start is not None else None

    def running(self) -> bool:
        """Return whether the unit is active or on its way there."""
        return self._show().get("ActiveState") in ("active", "activating", "reloading")

    def enabled(self) -> bool:
        """Return whether it starts at boot; units without an [Install] section count as enabled."""
        return self._show().get("UnitFileState") not in ("disabled", "masked", "")

    def enable(self, on: bool) -> None:  # noqa: FBT001
        """Have it started at boot or not; raises AgentError."""
        self._do("enable" if on else "disable")

    def start(self) -> None:
        """Start the unit; raises AgentError when it does not stay active."""
        self._do("start")
        time.sleep(SETTLE)
        if self._show().get("ActiveState") not in ("active", "reloading"):
            raise self._error("ended right after its start")

    def stop(self) -> None:
        """Stop the unit; raises AgentError."""
        self._do("stop")

    def reload(self) -> None:
        """Make it read its configuration, by restarting it when it cannot do so otherwise; raises AgentError."""
        self._do("reload-or-restart")

    def _do(self, verb: str) -> None:
        result = command.run(("systemctl", verb, self._unit), seconds=SECONDS)
        if result.code:
            raise self._error(f"systemctl {verb}: {result.reason}")

    def _error(self, what: str) -> AgentError:
        hint = f"see on the node: journalctl -u {self._unit}"
        return AgentError("io", f"service {self.name} {what}", hint=hint, item=self.name, step="services")


def read_units() -> None:
    """Make systemd read changed unit files; raises AgentError."""
    result = command.run(("systemctl", "daemon-reload"), seconds=SECONDS)
    if result.code:
        raise AgentError("io", f"systemctl daemon-reload: {result.reason}", step="services")
