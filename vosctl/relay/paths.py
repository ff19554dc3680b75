"""Where the relay's files are on a node, or below the directory that plays the node."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, NamedTuple, Optional

CONFIG = Path("/etc/vosctl/relay.json")
KEYS = Path("/etc/vosctl/relay-keys.json")
RUN = Path("/run/vosctl-relay")


# struct sockaddr_un holds 108 bytes, with the zero at the end (unix(7)).
MAX_SOCKET_PATH = 107
_LONGEST_NAME = len("/control.sock")


@contextmanager
def connectable(path: Path) -> Iterator[str]:
    """Yield a name of the socket ``path`` that fits a socket address, however deep the folder is. Raises ``OSError``."""
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


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

    def entered(self) -> RelayPaths:
        """Return absolute paths with a run directory short enough for sockets; it may become the working directory."""
        config, keys, run = (path.absolute() for path in self)
        if len(os.fsencode(run)) + _LONGEST_NAME > MAX_SOCKET_PATH:
            os.chdir(run)
            run = Path("/proc/self/cwd")
        return RelayPaths(config, keys, run)

    def below(self, root: Optional[Path]) -> RelayPaths:
        """Return the same paths below ``root``."""
        if root is None:
            return self
        return RelayPaths(*(root / path.relative_to(path.anchor) for path in self))
