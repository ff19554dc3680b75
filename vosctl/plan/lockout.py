"""Whether the compiled packet filter lets the controller's own SSH connection in.

Follows the segments of a connection through the compiled restore input: the one that opens it, all
later ones, which rules may treat differently, and the node's answers. What the simulator does not
know may or may not hold: the answer is "passes" only where no way leads to a drop. Dropping chains
that belong to others cannot be seen and are not judged.
"""

from __future__ import annotations

from msgspec.structs import replace

from vosctl.compile.desired import Desired
from vosctl.firewall.refusal import PREFIX
from vosctl.firewall.simulate.match import Steady, World, memberships
from vosctl.firewall.simulate.packet import ACK, RST, SYN, TCP, Packet, host
from vosctl.firewall.simulate.walk import Fate, Journey, follow
from vosctl.plan.observed import SshPath

_LATER = SYN | RST | ACK  # what is known of a later segment's flags: PSH and FIN come and go
_UNKNOWN = Steady(rate=None, held=None)


def check(desired: Desired, path: SshPath) -> str:
    """Return "" where the filter accepts a new connection over ``path``, else the reason why not."""
    family = path.client.version
    ruleset = next((rules for rules in desired.rulesets if rules.family == family), None)
    if ruleset is None:
        return ""
    sets = memberships(desired.sets)
    try:
        journeys = [
            follow(ruleset, segment, World(sets, _UNKNOWN, filled=True)) for segment in _segments(path)
        ]
    except (ValueError, IndexError) as error:
        return f"the new IPv{family} rules cannot be read: {error}"
    refused = next((journey for journey in journeys if Fate.DROP in journey.fates), None)
    if refused is None:
        return ""
    return (
        f"the new IPv{family} rules may drop the controller's own SSH connection "
        f"({path.client} to port {path.port}): {_reason(refused)}; "
        f"put {path.client} into firewall.admin and {path.port} into firewall.management"
    )


def _reason(journey: Journey) -> str:
    """Return the rule that drops, or the one that sent the segment to a chain that only drops."""
    rule = journey.fates[Fate.DROP]
    if rule is None:
        return journey.trouble
    if rule.chain.startswith(PREFIX):
        senders = (step.rule for step in journey.steps if step.rule.target.name == rule.chain)
        rule = next(senders, rule)
    return rule.text


def _segments(path: SshPath) -> tuple[Packet, ...]:
    """Return the opening segment, a later one and an answer; what differs between connections is unknown."""
    near = path.client == path.server or path.client.is_loopback
    opening = Packet(
        source=host(path.client),
        destination=host(path.server),
        protocol=TCP,
        dport=path.port,
        interface="lo" if near else None,
        payload=None,
        hops=None,
        dscp=None,
    )
    later = replace(opening, flags=ACK, flags_known=_LATER, state="ESTABLISHED")
    answer = replace(
        later,
        source=opening.destination,
        destination=opening.source,
        sport=path.port,
        dport=None,
        flags_known=ACK,
        original=False,
        outgoing=True,
    )
    return opening, later, answer
