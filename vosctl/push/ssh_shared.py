"""What all SSH connections of a run share: options, ssh_config, known_hosts and keys, each file parsed once."""

from __future__ import annotations

from msgspec import Struct

from vosctl.push.known_hosts import KnownHosts
from vosctl.push.options import PushOptions
from vosctl.push.ssh_config import SshConfig
from vosctl.push.ssh_keys import Keys


class SshShared(Struct, frozen=True):
    """What all connections of a run share: parsed files and options."""

    options: PushOptions
    config: SshConfig
    known_hosts: KnownHosts
    keys: Keys

    @classmethod
    def start(cls, options: PushOptions, config: SshConfig | None = None) -> SshShared:
        """Return it with nothing parsed yet but ``config``."""
        return cls(options, config or SshConfig(options), KnownHosts(), Keys(options.passphrase))
