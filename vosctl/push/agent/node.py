"""The node itself: where its files lie, which boot it is in."""

from __future__ import annotations

import os

from vosctl.push.agent import durable

STATE = "/var/lib/vosctl"
RUN = "/run/vosctl"


class Node:
    """A machine (``root`` is "") or a directory that stands for one."""

    __slots__ = ("root",)

    def __init__(self, root: str | None = None) -> None:
        self.root = (root or "").rstrip("/")

    def path(self, path: str) -> str:
        """Return where the node's absolute ``path`` lies for this process."""
        return self.root + path

    def state(self, name: str) -> str:
        """Return the path of something that outlives a reboot."""
        return f"{self.root}{STATE}/{name}"

    def run(self, name: str) -> str:
        """Return the path of something that a reboot removes."""
        return f"{self.root}{RUN}/{name}"

    @property
    def is_machine(self) -> bool:
        """Whether kernel state (firewall, sysctls) and packages belong to the node."""
        return not self.root

    @property
    def has_systemd(self) -> bool:
        """Whether systemd runs services here."""
        return self.is_machine and os.path.isdir("/run/systemd/system")

    @property
    def owns_files(self) -> bool:
        """Whether files can be given to other users: a directory of an ordinary user cannot."""
        return self.is_machine or os.geteuid() == 0

    def prepare(self) -> None:
        """Make the state and run folders; raises OSError."""
        durable.make_folders(self.root + STATE, 0o700)
        durable.make_folders(self.state("snapshots"), 0o700)
        durable.make_folders(self.root + RUN, 0o700)

    def boot(self) -> str:
        """Return a word that differs after each reboot, also where only /run is new; raises OSError."""
        path = self.run("boot")
        token: object = durable.read_json(path)
        if not isinstance(token, str):
            token = os.urandom(8).hex()
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            durable.write_json(path, token)
        return f"{_boot_id()} {token}"


def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return ""
