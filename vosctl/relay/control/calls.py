"""What control knows of a call: parties, streams and ends as values, and the table that finds them by tag."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

from vosctl.relay import lines
from vosctl.relay.control.crypto_attr import PLAIN, Transform
from vosctl.relay.control.request import RefusalError, Request
from vosctl.relay.control.values import replace

MAX_BRANCHES = 64
MAX_ALIASES = 16

Endpoint = Tuple[str, int]


@dataclass(frozen=True)
class End:
    """One party's end of one stream; addresses are the far end's, ``local`` the relay's RTP and RTCP ports.

    ``direction`` is the party's own word (RFC 3264 §5.1). ``rx`` undoes what the party sends and ``tx``
    is done to what it gets; ``said`` is what the last description towards it announced. Of SRTP (RFC 4568),
    ``tag`` is that of its own ``a=crypto``, ``offers`` what was offered to it, and ``proposed`` the rx and tx of
    an offer of its own that is not answered yet.
    """

    remote: Optional[Endpoint] = None
    rtcp: Optional[Endpoint] = None
    learn: str = "sdp"
    source: str = ""
    direction: str = "sendrecv"
    protocol: str = "RTP/AVP"
    codecs: Dict[int, str] = field(default_factory=dict)
    pts: Tuple[int, ...] = ()
    wants_mux: bool = False
    mux_reply: str = ""
    mux: bool = False
    rx: Transform = PLAIN
    tx: Transform = PLAIN
    said: Optional[Transform] = None
    tag: int = 1
    offers: Tuple[Transform, ...] = ()
    proposed: Tuple[Transform, ...] = ()
    local: Optional[Tuple[int, int]] = None

    @property
    def sends(self) -> bool:
        """Whether the party may send."""
        return self.direction in {"sendrecv", "sendonly"}

    @property
    def receives(self) -> bool:
        """Whether the party wants to hear."""
        return self.direction in {"sendrecv", "recvonly"}


@dataclass(frozen=True)
class Stream:
    """One ``m=`` line: its two ends, party 0's and party 1's; ``open`` once media holds ports for it."""

    kind: str
    ends: Tuple[End, End] = (End(), End())
    open: bool = False
    rejected: bool = False

    def with_end(self, side: int, end: End) -> Stream:
        """Return the stream with the end of ``side`` replaced."""
        return replace(self, ends=(end, self.ends[1]) if side == 0 else (self.ends[0], end))


@dataclass(frozen=True)
class Party:
    """One side of a branch: its SIP tag, the gateway or trunk behind it, and the relay's address towards it.

    ``advertised`` is what its SDP shows where that is not ``address`` itself; ``bars`` (media, silence,
    dtmf) say what of its media does not pass. ``label`` is the script's own name for it.
    """

    tag: str = ""
    name: str = ""
    address: str = ""
    source: str = ""
    aliases: Tuple[str, ...] = ()
    advertised: str = ""
    interface: str = ""
    bars: Tuple[str, ...] = ()
    label: str = ""

    def has(self, tag: str) -> bool:
        """Tell whether ``tag`` is, or was before a fork took over, this party's."""
        return bool(tag) and (tag == self.tag or tag in self.aliases)

    def tagged(self, tag: str) -> Party:
        """Return the party under ``tag``, still found by the tags it had."""
        if tag == self.tag or not tag:
            return self
        old = (self.tag,) if self.tag else ()
        return replace(self, tag=tag, aliases=(*old, *self.aliases)[:MAX_ALIASES])


@dataclass(frozen=True)
class Branch:
    """An offer and its answers; a forked INVITE makes several of one call-id. Party 0 is the offerer.

    ``created`` and ``since``, the first answer, are seconds since the epoch. Of a call in ``bypass`` the
    relay carries no media and changes no description. ``past`` is what streams that are over had counted.
    """

    call_id: str
    number: int
    via: str
    parties: Tuple[Party, Party]
    created: float
    dscp: int
    streams: Tuple[Stream, ...] = ()
    answered: bool = False
    since: float = 0.0
    bypass: bool = False
    recording: str = ""
    past: Tuple[int, ...] = ()

    @property
    def names(self) -> Set[str]:
        """The gateways and trunks that take part."""
        return {party.name for party in self.parties if party.name}

    @property
    def media_id(self) -> str:
        """The call's name towards the media process."""
        return f"{self.call_id}#{self.number}"

    def with_party(self, side: int, party: Party) -> Branch:
        """Return the branch with the party of ``side`` replaced."""
        parties = (party, self.parties[1]) if side == 0 else (self.parties[0], party)
        return replace(self, parties=parties)

    @property
    def held(self) -> bool:
        """Whether no stream is wanted both ways, so that silence is no sign of a dead call."""
        streams = [stream for stream in self.streams if not stream.rejected]
        return all(any(end.direction != "sendrecv" for end in stream.ends) for stream in streams)

    def record(self) -> str:
        """Return all of it as text, for media to keep unread; ``branch_from_record`` reads it back.

        It is JSON without the fields' names, their values in the order of the classes above: a third of the room
        and of the time, twice in every call. A later release adds fields at the end of a class only.
        """
        streams = []
        for stream in self.streams:
            kind, _, *rest = vars(stream).values()
            streams.append((kind, [[*vars(end).values()] for end in stream.ends], *rest))
        values = {**vars(self), "parties": [[*vars(p).values()] for p in self.parties], "streams": streams}
        return lines.encode([*values.values()])


def branch_from_record(record: Any) -> Branch:
    """Return the branch in what ``record`` wrote. Raises ``KeyError``, ``TypeError`` or ``ValueError``."""
    values = _fields(Branch, lines.decode(record) if isinstance(record, str) else record)
    first, second = values["parties"]
    values["parties"] = (_party(first), _party(second))
    values["streams"] = tuple(_stream(stream) for stream in values["streams"])
    values["past"] = tuple(values.get("past", ()))
    return Branch(**values)


def _fields(kind: Any, tree: Any) -> Dict[str, Any]:
    """Return a record's values by name; releases up to 0.1 wrote the names too."""
    return dict(tree) if isinstance(tree, dict) else dict(zip(kind.__dataclass_fields__, tree))  # noqa: B905


def _party(tree: Any) -> Party:
    values = _fields(Party, tree)
    return Party(**{**values, "aliases": tuple(values["aliases"]), "bars": tuple(values.get("bars", ()))})


def _stream(tree: Any) -> Stream:
    values = _fields(Stream, tree)
    first, second = values["ends"]
    return Stream(**{**values, "ends": (_end(first), _end(second))})


def _end(tree: Any) -> End:
    values = _fields(End, tree)
    for name in ("remote", "rtcp", "local"):
        values[name] = None if values[name] is None else tuple(values[name])
    for name in ("rx", "tx", "said"):
        values[name] = None if values[name] is None else Transform(*values[name])
    for name in ("offers", "proposed"):
        values[name] = tuple(Transform(*one) for one in values.get(name, ()))
    codecs = values["codecs"]
    values["codecs"] = {
        int(pt): str(name) for pt, name in (codecs.items() if isinstance(codecs, dict) else codecs)
    }
    values["pts"] = tuple(values["pts"])
    return End(**values)


class Calls:
    """All branches by call-id; a branch is replaced, never changed."""

    def __init__(self) -> None:
        self._calls: Dict[str, List[Branch]] = {}
        # Names of gateways and trunks, and under each the calls that it takes part in.
        self._named: Dict[str, Set[str]] = {}

    def __iter__(self) -> Iterator[Branch]:
        return (branch for branches in self._calls.values() for branch in branches)

    def __len__(self) -> int:
        return len(self._calls)

    def of(self, call_id: str) -> Tuple[Branch, ...]:
        """Return the branches of ``call_id``."""
        return tuple(self._calls.get(call_id, ()))

    def by_media_id(self, media_id: str) -> Optional[Branch]:
        """Return the branch that media knows as ``media_id``."""
        call_id, _, number = media_id.rpartition("#")
        branches = self._calls.get(call_id, ())
        return next((branch for branch in branches if str(branch.number) == number), None)

    def put(self, branch: Branch) -> Optional[Branch]:
        """Add ``branch`` or let it take the place of the one with its number, which is returned."""
        before = self.of(branch.call_id)
        known = next((other for other in before if other.number == branch.number), None)
        branches = [other for other in before if other is not known]
        self._calls[branch.call_id] = [*branches, branch]
        if len(before) != 1 or before[0].names != branch.names:
            self._index(branch.call_id, before)
        return known

    def drop(self, branch: Branch) -> None:
        """Forget the branch."""
        before = self.of(branch.call_id)
        left = [other for other in before if other.number != branch.number]
        if left:
            self._calls[branch.call_id] = left
        else:
            self._calls.pop(branch.call_id, None)
        self._index(branch.call_id, before)

    def count(self, name: str) -> int:
        """Return in how many calls the gateway or trunk takes part."""
        return len(self._named.get(name, ()))

    def _index(self, call_id: str, before: Tuple[Branch, ...]) -> None:
        old = {name for branch in before for name in branch.names}
        new = {name for branch in self.of(call_id) for name in branch.names}
        for name in new - old:
            self._named.setdefault(name, set()).add(call_id)
        for name in old - new:
            self._named[name].discard(call_id)
            if not self._named[name]:
                del self._named[name]

    def clear(self) -> None:
        """Forget everything."""
        self._calls.clear()
        self._named.clear()

    def free_number(self, call_id: str) -> int:
        """Return a number for a new branch. Raises ``RefusalError`` beyond ``MAX_BRANCHES``."""
        taken = {branch.number for branch in self.of(call_id)}
        if len(taken) >= MAX_BRANCHES:
            raise RefusalError(f"Too many branches: the call has {MAX_BRANCHES}")
        return next(number for number in range(MAX_BRANCHES) if number not in taken)

    def offered(self, request: Request) -> Optional[Tuple[Branch, int]]:
        """Return the branch that the offer is for and the side it comes from; ``None`` starts a new one."""
        branches = self.of(request.call_id)
        if request.to_tag:
            return _pair(branches, request.from_tag, request.to_tag) or _half(branches, request.from_tag)
        for branch in branches:
            if branch.parties[0].has(request.from_tag) and request.via_branch in {"", branch.via}:
                return branch, 0
        return None

    def answered(self, request: Request) -> Optional[Tuple[Branch, int]]:
        """Return the branch that the answer is for and the side it comes from, the one of to-tag."""
        branches = self.of(request.call_id)
        if request.via_branch:
            branches = tuple(b for b in branches if b.via == request.via_branch) or branches
        found = _pair(branches, request.from_tag, request.to_tag) or _half(branches, request.from_tag)
        if found is None:
            # A fork beyond the proxy: the offer is answered by another phone, under another tag.
            forks = [b for b in branches if b.parties[0].has(request.from_tag)]
            found = (forks[-1], 0) if forks else None
        return None if found is None else (found[0], 1 - found[1])

    def deleted(self, request: Request) -> Tuple[Branch, ...]:
        """Return the branches that a delete is about."""
        branches = self.of(request.call_id)
        if request.from_tag:
            branches = tuple(b for b in branches if _touches(b, request.from_tag, request.to_tag))
        if request.via_branch:
            return tuple(b for b in branches if b.via == request.via_branch) or branches
        return branches


def _pair(branches: Tuple[Branch, ...], tag: str, other: str) -> Optional[Tuple[Branch, int]]:
    for branch in branches:
        for side in (0, 1):
            if branch.parties[side].has(tag) and branch.parties[1 - side].has(other):
                return branch, side
    return None


def _half(branches: Tuple[Branch, ...], tag: str) -> Optional[Tuple[Branch, int]]:
    for branch in reversed(branches):
        for side in (0, 1):
            if branch.parties[side].has(tag) and not branch.parties[1 - side].tag:
                return branch, side
    return None


def _touches(branch: Branch, tag: str, other: str) -> bool:
    if other and _pair((branch,), tag, other) is None:
        return _half((branch,), tag) is not None
    return any(party.has(tag) for party in branch.parties)
