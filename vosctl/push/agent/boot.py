"""What has to happen once after a reboot: nothing unconfirmed stays, and the firewall is loaded again."""

from __future__ import annotations

import os
import sys

from vosctl.push.agent import durable, firewall, guard, revert, systemd
from vosctl.push.agent.errors import AgentError
from vosctl.push.agent.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vosctl.push.agent.node import Node
    from vosctl.push.agent.state import State

PATIENCE = 60.0
UNIT = f"{systemd.UNITS}/vosctl-boot.service"
LINK = f"{systemd.UNITS}/multi-user.target.wants/vosctl-boot.service"
TEXT = """\
# Written by vosctl's node agent.
[Unit]
Description=vosctl: take back what was not confirmed before the reboot, load the packet filter
DefaultDependencies=no
Wants=network-pre.target
After=local-fs.target systemd-modules-load.service vosctl-firewall.service
Before=network-pre.target shutdown.target
Conflicts=shutdown.target
ConditionPathExists={archive}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={python} -I -S {archive} boot

[Install]
WantedBy=multi-user.target
"""


def boot(state: State) -> list[str]:
    """Take back what was not confirmed, then load the stored firewall and people's bans; return what did not work.

    What a person loaded since the reboot under vosctl's names is replaced; may be repeated.
    """
    errors = []
    with Lock(state.node, "boot", "boot", patience=PATIENCE):
        try:
            revert.settle(state, booting=True)
        except AgentError as error:
            errors.append(error.message)
        try:
            if state.node.is_machine and firewall.load_stored(state):
                from vosctl.push.agent import bans  # noqa: PLC0415  an apply needs this module, not that one

                bans.put_back(state)
                state.note("booted")
        except AgentError as error:
            errors.append(error.message)
            state.note("boot-failed", errors=errors)
    return errors


def install_unit(node: Node) -> None:
    """Have ``boot`` run at each boot where systemd runs; raises OSError, AgentError."""
    if not node.has_systemd:
        return
    text = TEXT.format(python=sys.executable, archive=node.state(guard.ARCHIVE)).encode()
    if _holds(text) and os.path.islink(LINK):
        return
    durable.write(UNIT, text)
    durable.make_folders(os.path.dirname(LINK))
    durable.link(LINK, UNIT)
    systemd.read_units()


def _holds(text: bytes) -> bool:
    try:
        with open(UNIT, "rb") as stream:
            return stream.read() == text
    except OSError:
        return False
