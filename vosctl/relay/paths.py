"""Where the relay's files are on a node, or below the directory that plays the node."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Optional

CONFIG = Path("/etc/vosctl/relay.json")
KEYS = Path("/etc/vosctl/relay-keys.json")
RUN = Path("/run/vosctl-relay")


class RelayPaths(NamedTuple):
    """The configuration, the key table and the run directory."""

    config: Path = CONFIG
    keys: Path = KEYS
    run: Path = RUN

    @property
    def pidfile(self) -> Path:
        """The supervisor's process id; locked while it runs."""
        return self.run / "supervisor.pid"

    @property
    def log(self) -> Path:
        """What all three processes write, when no journal takes it."""
        return self.run / "relay.log"

    @property
    def control_socket(self) -> Path:
        """The admin socket of the control process."""
        return self.run / "control.sock"

    @property
    def media_socket(self) -> Path:
        """The command socket of the media process."""
        return self.run / "media.sock"

    def below(self, root: Optional[Path]) -> RelayPaths:
        """Return the same paths below ``root``."""
        if root is None:
            return self
        return RelayPaths(*(root / path.relative_to(path.anchor) for path in self))
