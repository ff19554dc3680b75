"""What strangers may send: as written, or worked out from the tiers of the gateways with a password."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from vosctl.site.model import Auth, Budget, Firewall, Gateway

METHODS = ("REGISTER", "INVITE", "OPTIONS")
OTHER = "other"
CONNECT = "connect"
STREAM = "stream"

FEWEST_SHARES = 8
# A call over UDP: an INVITE that is challenged, the same with the answer, one more for a retransmission
# or a session timer (RFC 4028); then ACKs, BYE or its reply, CANCEL, PRACK, UPDATE and their replies.
_A_CALL = {"INVITE": 3, OTHER: 8, STREAM: 14, CONNECT: 1}
# A device registers or asks OPTIONS twice (challenge and answer) now and then; after an outage all at once.
_A_DEVICE = {"REGISTER": 4, "OPTIONS": 4}
_FLOOR = {
    "REGISTER": Budget(2, 10),
    "INVITE": Budget(5, 20),
    "OPTIONS": Budget(2, 10),
    OTHER: Budget(20, 60),
    CONNECT: Budget(5, 20),
    STREAM: Budget(30, 100),
}


class Allowance(Struct, frozen=True):
    """What one source and its whole network may send; ``path`` is the variable behind the numbers."""

    source: Budget
    network: Budget
    path: str


def allowances(firewall: Firewall, gateways: Iterable[Gateway]) -> Mapping[str, Allowance]:
    """Return what strangers may send, by SIP method, ``other``, ``connect`` and ``stream``.

    One source may be the largest gateway with a password: what its calls a second (c) need in
    messages, INVITE 3c, others 8c, over TCP 14c segments and c connections, each with a burst of two
    seconds; REGISTER and OPTIONS have a burst of four for each of these gateways, which may share an
    address. A network may send ``network_factor`` times as much: 8, or as many times as all these
    gateways together have the largest one's calls a second. No number is below its floor.
    """
    strangers = [gateway for gateway in gateways if gateway.auth is Auth.PASSWORD]
    largest = max(strangers, key=lambda gateway: gateway.limits.cps, default=None)
    most = largest.limits.cps if largest else 0
    together = sum(gateway.limits.cps for gateway in strangers)
    factor = firewall.network_factor or max(FEWEST_SHARES, -(-together // max(most, 1)))
    found = {}
    for name, floor in _FLOOR.items():
        rate = max(floor.rate, most * _A_CALL.get(name, 0))
        burst = max(floor.burst, 2 * rate if name in _A_CALL else len(strangers) * _A_DEVICE[name])
        written = firewall.budgets.get(name, Budget(0, 0))
        path = f"firewall.budgets.{name}"
        if largest and (rate, burst) != (floor.rate, floor.burst) and not (written.rate or written.burst):
            path = f"gateways.{largest.name}"
        source = Budget(written.rate or rate, written.burst or burst)
        found[name] = Allowance(source, Budget(source.rate * factor, source.burst * factor), path)
    return found
