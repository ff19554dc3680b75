"""Own ipsets: what the kernel holds, and bringing in new contents without a moment of neither.

The members of a timed set are the node's own: they are neither looked at nor taken away.
"""

from __future__ import annotations

import re

from vosctl.push.agent import command
from vosctl.push.agent.digests import hex_sha256
from vosctl.push.agent.errors import AgentError
from vosctl.push.agent.wanted import SET_PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

_FAMILIES = {"inet": 4, "inet6": 6}
# The second is for taking back a change that was killed while rules still used the first.
SPARE_SUFFIXES = ("-t", "-u", "-v")


class IpSet:
    """A set: ``type``, ``family`` 4, 6 or None for types that have none, ``maxelem``, members sorted.

    ``options`` are further words of ``ipset create``, with a space before each.
    """

    __slots__ = ("family", "maxelem", "members", "options", "type")

    def __init__(
        self, kind: str, family: int | None, maxelem: int, members: list[str], options: str = ""
    ) -> None:
        self.type = kind
        self.family = family
        self.maxelem = maxelem
        self.members = members
        self.options = options

    @classmethod
    def of(cls, record: dict[str, Any]) -> IpSet:
        """Return the set that ``record`` stored."""
        return cls(
            record["type"], record["family"], record["maxelem"], record["members"], record.get("options", "")
        )

    def record(self) -> dict[str, Any]:
        """Return the set as JSON can hold it."""
        return {name: getattr(self, name) for name in self.__slots__}

    @property
    def dynamic(self) -> bool:
        """Whether members come and go by themselves."""
        return " timeout " in self.options

    def digest(self, wanted: dict[str, Any] | None = None) -> str:
        """Return SHA-256 of type, family, options and members; another one when ``wanted`` has another size."""
        options = [self.options.strip()] if self.options else []
        lines = [self.type, str(self.family), *options, *self.members]
        if wanted is not None and wanted["maxelem"] != self.maxelem:
            lines.append(f"maxelem {self.maxelem}")
        return hex_sha256("\n".join(lines).encode())

    def swaps_with(self, other: IpSet) -> bool:
        """Return whether the kernel can swap the two: same type and family."""
        return (self.type, self.family) == (other.type, other.family)

    def create(self, name: str) -> str:
        """Return the ``ipset restore`` lines that make this set under ``name`` and fill it."""
        family = {4: " family inet", 6: " family inet6"}.get(self.family or 0, "")
        size = f" maxelem {self.maxelem}" if self.maxelem else ""
        lines = [f"create {name} {self.type}{family}{size}{self.options}"]
        lines += [f"add {name} {member}" for member in self.members]
        return "\n".join(lines) + "\n"


def wanted_set(item: dict[str, Any], members: list[str]) -> IpSet:
    """Return the set that a wanted item with its members stands for; raises AgentError for odd members."""
    for member in members:
        if not isinstance(member, str) or not _MEMBER.fullmatch(member):
            raise AgentError(
                "unsupported", f"set {item['name']}: {member!r} is no member", item=item["name"], step="check"
            )
    options = item.get("options", "")
    return IpSet(
        item["type"], item["family"], item["maxelem"], sorted(members), f" {options}" if options else ""
    )


_MEMBER = re.compile(r"[0-9A-Za-z][0-9A-Za-z.:,/_ -]*")


def capture() -> dict[str, IpSet]:
    """Return the own sets that the kernel holds; raises AgentError when it cannot be asked."""
    result = command.run(("ipset", "save"), seconds=60)
    if result.code:
        raise AgentError("unsupported", f"ipset save: {result.reason}", hint=HINT, step="sets")
    return parse(result.out)


def names() -> set[str]:
    """Return the names of the own sets that the kernel holds; raises AgentError when it cannot be asked."""
    result = command.run(("ipset", "list", "-n"))
    if result.code:
        raise AgentError("unsupported", f"ipset list: {result.reason}", hint=HINT, step="sets")
    return {name for name in result.out.split() if name.startswith(SET_PREFIX)}


HINT = "the kernel may lack ip_set, or the container the right (CAP_NET_ADMIN)"


def parse(text: str) -> dict[str, IpSet]:
    """Return the own sets in the output of ``ipset save``."""
    found: dict[str, IpSet] = {}
    for line in text.splitlines():
        verb, _, rest = line.partition(" ")
        name, _, rest = rest.partition(" ")
        if not name.startswith(SET_PREFIX):
            continue
        if verb == "create":
            found[name] = _parse_header(rest.split())
        elif verb == "add" and name in found and not found[name].dynamic:
            found[name].members.append(rest)
    for item in found.values():
        item.members.sort()
    return found


def _parse_header(words: list[str]) -> IpSet:
    pairs = dict(zip(words[1::2], words[2::2]))  # noqa: B905  strict came with Python 3.10
    options = "".join(f" {key} {pairs[key]}" for key in ("timeout", "netmask", "range") if key in pairs)
    options += "".join(f" {flag}" for flag in ("counters", "comment", "skbinfo") if flag in words)
    return IpSet(words[0], _FAMILIES.get(pairs.get("family", "")), int(pairs.get("maxelem", 0)), [], options)


def make(name: str, new: IpSet) -> None:
    """Make a set that does not exist; raises AgentError and leaves nothing behind."""
    try:
        restore(new.create(name), name)
    except AgentError:
        destroy([name], quiet=True)
        raise


def make_all(sets: Mapping[str, IpSet]) -> None:
    """Make sets that do not exist, in one go; raises AgentError that names the one that cannot be made."""
    if not sets:
        return
    try:
        restore("".join(new.create(name) for name, new in sets.items()), "sets")
    except AgentError:
        destroy(sets, quiet=True)
        for name, new in sets.items():
            make(name, new)


def swap(name: str, new: IpSet, other: str) -> None:
    """Bring an existing set to ``new``, of the same kind: filled as ``other`` first, then swapped in at once.

    Raises AgentError; the set is then as it was.
    """
    try:
        restore(new.create(other) + f"swap {other} {name}\ndestroy {other}\n", name)
    except AgentError:
        destroy([other], quiet=True)
        raise


def adjust(name: str, old: IpSet, new: IpSet) -> None:
    """Bring an existing set with the same shape to ``new`` member by member; raises AgentError, the set is then as it was.

    What comes is added before what goes is removed: a network in place of a larger one leaves no gap.
    """
    added = sorted(set(new.members).difference(old.members))
    gone = sorted(set(old.members).difference(new.members))
    lines = [f"add {name} {member}" for member in added] + [f"del {name} {member}" for member in gone]
    try:
        restore("".join(line + "\n" for line in lines), name)
    except AgentError:
        back = [f"add {name} {member}" for member in gone] + [f"del {name} {member}" for member in added]
        command.run(
            ("ipset", "-exist", "restore"), data="".join(f"{line}\n" for line in back).encode(), seconds=120
        )
        raise


def is_adjustable(old: IpSet, new: IpSet) -> bool:
    """Return whether few enough members differ to change these alone: the two have one shape."""
    if (old.type, old.family, old.maxelem, old.options) != (new.type, new.family, new.maxelem, new.options):
        return False
    differing = set(old.members).symmetric_difference(new.members)
    fits = len(old.members) + len(differing) <= new.maxelem  # what comes is there before what goes is not
    return fits and len(differing) <= max(_FEW, len(old.members) // _SHARE)


_FEW = 64
_SHARE = 4


def reshape(name: str, new: IpSet, other: str) -> None:
    """Give an existing timed set of the same kind other options, with its members and the time they have left."""
    result = command.run(("ipset", "save", name), seconds=60)
    if result.code:
        raise AgentError("unsupported", f"ipset save {name}: {result.reason}", hint=HINT, step="sets")
    kept = [f"{address} timeout {left}" for address, left in _TIMED.findall(result.out)]
    swap(name, IpSet(new.type, new.family, new.maxelem, kept, new.options), other)


_TIMED = re.compile(r"^add \S+ (\S+) timeout (\d+)", re.MULTILINE)


def restore(text: str, item: str) -> None:
    """Feed ``ipset restore``; raises AgentError that quotes the line that was refused."""
    result = command.run(("ipset", "restore"), data=text.encode(), seconds=120)
    if result.code:
        raise AgentError("unsupported", refusal(text, result.reason), hint=HINT_SET, item=item, step="sets")


HINT_SET = "nothing of this set was changed; check its type, family and members"


def refusal(text: str, reason: str) -> str:
    """Return ipset's complaint with the text of the line that it means."""
    number = re.search(r"line (\d+)", reason)
    lines = text.splitlines()
    if number and 0 < int(number.group(1)) <= len(lines):
        return f"ipset refused “{lines[int(number.group(1)) - 1]}”: {reason}"
    return f"ipset: {reason}"


def destroy(names: Iterable[str], *, quiet: bool = False) -> None:
    """Remove sets that no rule uses; raises AgentError naming the one that is in use, unless ``quiet``."""
    for name in names:
        result = command.run(("ipset", "destroy", name))
        if result.code and not quiet and "does not exist" not in result.err:
            hint = f"a rule that is not vosctl's uses it: iptables-save | grep {name}"
            raise AgentError(
                "io", f"set {name} cannot be removed: {result.reason}", hint=hint, item=name, step="sets"
            )


def spare_name(name: str, held: Iterable[str]) -> str:
    """Return a name for the next contents of a set that the kernel does not hold yet."""
    return next(name + suffix for suffix in SPARE_SUFFIXES if name + suffix not in held)


def is_spare(name: str, keep: Iterable[str]) -> bool:
    """Return whether ``name`` is the half-made next contents of one of the sets to ``keep``."""
    return name not in keep and name.endswith(SPARE_SUFFIXES) and name[:-2] in keep
