"""What a plan is made of: changes with their risk, items held back with the reason."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from vosctl.plan.risk import Risk
from vosctl.plan.traffic import Revision


class Kind(Enum):
    """What a change is about, in the order in which a node applies it."""

    PACKAGE = "package"
    ACCOUNT = "account"
    RELEASE = "release"
    USER = "user"
    FILE = "file"
    SET = "set"
    RULESET = "ruleset"
    SYSCTL = "sysctl"
    SERVICE = "service"


class Action(Enum):
    """What will be done to it."""

    CREATE = "create"
    CHANGE = "change"
    REMOVE = "remove"
    INSTALL = "install"
    LOAD = "load"
    RELOAD = "reload"
    RESTART = "restart"
    UPGRADE = "upgrade"
    START = "start"
    STOP = "stop"
    ENABLE = "enable"
    DISABLE = "disable"


class Change(Struct, frozen=True):
    """One difference between what a node is and what it should be.

    ``drift`` says that the node moved by itself (a hand, a reboot) since the last apply, not the
    site. ``diff`` holds unified diff or +/- lines without line ends, secrets already masked.
    """

    kind: Kind
    name: str
    action: Action
    detail: str = ""
    diff: tuple[str, ...] = ()
    risk: Risk | None = None
    drift: bool = False


class Held(Struct, frozen=True):
    """Something wanted that this node is not given, and why.

    ``fatal``: it should have it (a packet filter that cannot be loaded, a setting that its kernel lacks),
    so an apply stops before it changes anything. Otherwise it is somebody else's: a directory has no
    firewall, a container leaves the host's settings alone.
    """

    kind: Kind
    name: str
    reason: str
    fatal: bool = False


class Plan(Struct, frozen=True):
    """Everything that an apply would do to one node.

    ``observed`` is the node's digest of the state that the plan was made from: an apply is refused
    by the node when it moved since. ``refusal`` is the reason why an apply must not go on (it would
    cut the controller off), "" when there is none. ``revisions`` are the packet filters before and
    after, for ``vosctl.plan.traffic``.
    """

    node: str
    changes: tuple[Change, ...] = ()
    held: tuple[Held, ...] = ()
    observed: str = ""
    refusal: str = ""
    revisions: tuple[Revision, ...] = ()

    @property
    def impossible(self) -> tuple[Held, ...]:
        """What an apply stops for."""
        return tuple(held for held in self.held if held.fatal)

    @property
    def drift(self) -> tuple[Change, ...]:
        """The changes that put back what moved by hand."""
        return tuple(change for change in self.changes if change.drift)

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.changes)
