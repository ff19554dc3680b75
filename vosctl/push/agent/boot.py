"""What has to happen once after a reboot: nothing unconfirmed stays, and the firewall is loaded again."""

from __future__ import annotations

from vosctl.push.agent import firewall, revert
from vosctl.push.agent.errors import AgentError
from vosctl.push.agent.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vosctl.push.agent.state import State

PATIENCE = 60.0


def boot(state: State) -> list[str]:
    """Take back what was not confirmed, then load the stored firewall; return what did not work.

    What a person loaded since the reboot under vosctl's names is replaced; may be repeated.
    """
    errors = []
    with Lock(state.node, "boot", "boot", patience=PATIENCE):
        try:
            revert.settle(state)
        except AgentError as error:
            errors.append(error.message)
        try:
            if state.node.is_machine and firewall.load_stored(state):
                state.note("booted")
        except AgentError as error:
            errors.append(error.message)
            state.note("boot-failed", errors=errors)
    return errors
