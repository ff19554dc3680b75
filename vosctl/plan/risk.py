"""The risks that a change may carry: stable ids that pipelines name, how grave each is, and what to look at."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class Level(Enum):
    """How grave a risk is, in SARIF's words (OASIS SARIF 2.1.0, 3.27.10)."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class About(Struct, frozen=True):
    """What a risk means: one line, and what a reviewer should do about it."""

    level: Level
    title: str
    help: str


class Risk(Enum):
    """Why a reviewer should look twice; the value is the id, which never changes its meaning."""

    OPENS_PORT = "opens-port"
    DROPS_PEER = "drops-peer"
    CUTS_CONTROLLER = "cuts-controller"
    WEAKENS_ENCRYPTION = "weakens-encryption"
    UNSTAGED_KEY = "unstaged-key"
    REUSED_KEY_ID = "reused-key-id"
    NEGATIVE_MARGIN = "negative-margin"
    LOCKS_VENDOR = "locks-vendor"
    NO_ROUTE = "no-route"
    LOWERS_LIMIT = "lowers-limit"
    NARROWS_CODECS = "narrows-codecs"
    RESTARTS_RELAY = "restarts-relay"
    STOPS_SERVICE = "stops-service"
    REMOVES_NODE = "removes-node"

    @property
    def about(self) -> About:
        """What it means."""
        return _ABOUT[self]

    @property
    def level(self) -> Level:
        """How grave it is."""
        return _ABOUT[self].level


_ABOUT = {
    Risk.OPENS_PORT: About(
        Level.ERROR,
        "Traffic is newly accepted that no gateway, trunk or administrator of the site accounts for.",
        "Ask who needs it. If nobody does, narrow the networks or ports in the firewall tree.",
    ),
    Risk.DROPS_PEER: About(
        Level.WARNING,
        "A peer's address, so far accepted, is a stranger's from now on.",
        "Ask whether the peer has moved; calls that come from the old address fail.",
    ),
    Risk.CUTS_CONTROLLER: About(
        Level.ERROR,
        "Somebody who manages nodes now is kept out of their management ports.",
        "Make sure that the machine that runs vosctl stays in firewall.admin.",
    ),
    Risk.WEAKENS_ENCRYPTION: About(
        Level.ERROR,
        "A trunk's media is protected less than before.",
        "The order is none, xor, rc4, aes128, srtp. Keep the stronger mode, or write down why not.",
    ),
    Risk.UNSTAGED_KEY: About(
        Level.ERROR,
        "A trunk's new calls use a key, or a mode, that its ends did not accept before.",
        "Until both ends have it, their new calls fail. vosctl rotate-keys moves both together; or first list it in accept.",
    ),
    Risk.REUSED_KEY_ID: About(
        Level.ERROR,
        "A key has another value under the same id.",
        "Running calls use the old value and peers cannot tell the two apart: give the new key a new id.",
    ),
    Risk.NEGATIVE_MARGIN: About(
        Level.ERROR,
        "A route is sold below its cost, and nothing locks it.",
        "Change the rate, or give the vendor a profit guard.",
    ),
    Risk.LOCKS_VENDOR: About(
        Level.WARNING,
        "A vendor carries no more calls to these prefixes: its profit guard locks it.",
        "See which vendors are left, and whether they can take the traffic.",
    ),
    Risk.NO_ROUTE: About(
        Level.ERROR,
        "A prefix that is sold has no vendor left that may carry it.",
        "Calls to it fail. Add a vendor, or stop selling it.",
    ),
    Risk.LOWERS_LIMIT: About(
        Level.WARNING,
        "A peer may make fewer or shorter calls than before.",
        "Look at its busiest hour: what is above the limit is refused.",
    ),
    Risk.NARROWS_CODECS: About(
        Level.WARNING,
        "A codec that was allowed is not any more.",
        "Calls that can use nothing else fail: nothing is transcoded.",
    ),
    Risk.RESTARTS_RELAY: About(
        Level.WARNING,
        "The relay is stopped, or has to be started again before it takes effect.",
        "Choose an hour with few calls, or drain the node first.",
    ),
    Risk.STOPS_SERVICE: About(
        Level.WARNING,
        "A service that runs is stopped.",
        "Make sure that nothing else on the node needs it.",
    ),
    Risk.REMOVES_NODE: About(
        Level.WARNING,
        "A node leaves the site; what it runs stays as it is, and nobody updates it.",
        "Drain it and switch it off, or its old rules and keys live on.",
    ),
}
