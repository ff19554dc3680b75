"""What the operator chose for a run over nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from vosctl.secret import Secret


class PushOptions(Struct, frozen=True):
    """How nodes are reached and what is done there. Times are in seconds.

    - ``forks``: nodes at once.
    - ``connect_timeout``: for each of TCP connect, SSH handshake, login and opening the command.
    - ``timeout``: for one exchange with a node, from the request to the last byte of the answer.
    - ``confirm_window``: how long a node waits for the confirmation before it goes back.
    - ``auto_confirm``: False leaves applied nodes armed, for ``confirm_site`` by a person.
    - ``check``: stop after the plan.
    - ``allow_lockout``: apply even a plan that seems to cut the controller's own SSH path (the node's
      revert timer is then all that protects it).
    - ``holder``: who holds the node's lock, as ``user@host``; ``revision``: the site's git revision.
    - ``user``, ``private_key``, ``ssh_config``, ``known_hosts``: win over the inventory's.
    - ``home``: where ``.ssh`` lies (None: the user's home); ``agent``: whether to ask ssh-agent for keys.
    - ``system_ssh``: whether /etc/ssh/ssh_config and /etc/ssh/ssh_known_hosts are read, too.
    - ``passphrase``: gives the passphrase of an encrypted key file, asked for once a file.
    - ``password``: for logins that no key opens (never sent to jump hosts); ``become_password``: sudo's.
    - ``transport``: ``paramiko``, ``asyncssh`` or ``auto``.
    - ``connection``: ``local`` takes this machine for the node, whatever the inventory says.
    - ``persist``: how long a connection that is not used is held for the next run, None as ssh_config says
      (ControlMaster and ControlPersist), 0 not at all.
    - ``tries``: how often a connection is tried before anything was asked of the node.
    - ``post_quantum``: offer ML-KEM first (65 ms of CPU more for each connection).
    """

    forks: int = 50
    connect_timeout: float = 10.0
    timeout: float = 300.0
    confirm_window: float = 60.0
    auto_confirm: bool = True
    check: bool = False
    allow_lockout: bool = False
    holder: str = "unknown"
    revision: str | None = None
    user: str | None = None
    private_key: Path | None = None
    ssh_config: Path | None = None
    known_hosts: Path | None = None
    home: Path | None = None
    agent: bool = True
    system_ssh: bool = True
    post_quantum: bool = False
    passphrase: Callable[[Path], Secret | None] | None = None
    password: Secret | None = None
    become_password: Secret | None = None
    transport: str = "paramiko"
    connection: str | None = None
    persist: float | None = None
    tries: int = 1
