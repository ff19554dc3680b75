"""A branch as the media process is told it: legs, what changed between two states, and the commands for that."""

from __future__ import annotations

import functools
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from vosctl.relay.control import fax
from vosctl.relay.control.calls import Branch, End, Party, Stream, branch_from_record
from vosctl.relay.control.crypto_attr import PLAIN
from vosctl.relay.control.values import replace

Leg = Dict[str, Any]
Codecs = Tuple[Tuple[int, str], ...]
SIDES = ("a", "b")
_PLAIN = PLAIN.as_json()
# What media takes a leg to be where it is not told: as most legs are.
_USUAL: Leg = {
    "mux": False, "learn": "sdp", "from": None, "clocks": {}, "rx": _PLAIN, "tx": _PLAIN,
    "send": True, "receive": True, "media": "pass", "dtmf": True, "events": [], "udptl": False,
}  # fmt: skip


class Command(NamedTuple):
    """One media command about stream ``stream``; ``undo`` holds the fields that change it back.

    An ``add`` is taken back by the removal of its stream.
    """

    name: str
    stream: int
    fields: Dict[str, Any]
    undo: Dict[str, Any]


def leg(party: Party, end: End, other: End, dscp: int) -> Leg:
    """Return one end as the media process takes it; ``other`` is that of the party it talks to."""
    return {
        "address": party.address,
        "remote": end.remote,
        "rtcp_remote": end.remote if end.mux else end.rtcp,
        "mux": end.mux,
        "learn": end.learn,
        "from": end.source or None,
        "pts": sorted(end.pts),
        "clocks": _clocks(tuple(end.codecs.items())),
        "rx": _PLAIN if end.rx == PLAIN else end.rx.as_json(),
        "tx": _PLAIN if end.tx == PLAIN else end.tx.as_json(),
        "dscp": dscp,
        "send": end.receives,
        "receive": end.sends,
        "media": "block" if "media" in party.bars else "silence" if "silence" in party.bars else "pass",
        "dtmf": "dtmf" not in party.bars,
        "events": _events(tuple(end.codecs.items()), tuple(other.codecs.items())),
        "udptl": fax.runs(end) and fax.runs(other),
    }


@functools.lru_cache(maxsize=1024)
def _events(mine: Codecs, others: Codecs) -> List[int]:
    """Return the types that DTMF may come with: a party sends with the numbers of the other's description."""
    return sorted({number for number, name in (*mine, *others) if name.startswith("telephone-event/")})


def _clock(codec: str) -> int:
    """Return the RTP clock in a codec's name, in Hz; 0 where it names none that can be."""
    rate = codec.split("/")[1:2]
    return int(rate[0]) if rate and rate[0].isdecimal() and 0 < int(rate[0]) <= 10_000_000 else 0


@functools.lru_cache(maxsize=1024)
def _clocks(codecs: Codecs) -> Dict[str, int]:
    """Return the RTP clocks that are not 8,000 Hz, by payload type; nobody changes the table."""
    return {str(number): _clock(name) for number, name in codecs if _clock(name) not in {0, 8000}}


def _unusual(whole: Leg) -> Leg:
    # No leg has the ellipsis: what is not among the usual stays.
    usual = _USUAL.get
    return {name: value for name, value in whole.items() if value != usual(name, ...)}


def _legs(branch: Branch, stream: Stream) -> List[Leg]:
    ends = stream.ends
    return [leg(branch.parties[side], ends[side], ends[1 - side], branch.dscp) for side in (0, 1)]


def commands(old: Optional[Branch], new: Branch) -> List[Command]:
    """Return what brings media from ``old`` to ``new``, whose record goes with the last command.

    Streams that media does not hold yet are added, others changed in what differs, rejected ones
    removed. The order of sides is that of the parties.
    """
    result = []
    for index, stream in enumerate(new.streams):
        before = old.streams[index] if old is not None and index < len(old.streams) else None
        if stream.rejected:
            continue
        if before is not None and old is not None and before.open:
            command = _change(index, _legs(old, before), _legs(new, stream))
            if command is not None:
                result.append(command)
        else:
            first, second = (_unusual(leg) for leg in _legs(new, stream))
            result.append(Command("add", index, {"a": first, "b": second}, {}))
    # What cannot be taken back comes last.
    result.extend(Command("remove", index, {}, {}) for index in _closing(old, new))
    opened = opening(new)
    if not result and opened != old and any(stream.open for stream in opened.streams):
        first_open = next(at for at, stream in enumerate(opened.streams) if stream.open)
        result.append(Command("change", first_open, {}, {}))
    if result:
        last = result[-1]
        result[-1] = last._replace(fields={**last.fields, "blob": opened.record()})
    return result


def opening(branch: Branch) -> Branch:
    """Return the branch with every stream that is not rejected marked as held by media, and no other."""
    streams = tuple(
        _closed(s) if s.rejected else s if s.open else replace(s, open=True) for s in branch.streams
    )
    return replace(branch, streams=streams)


def _closing(old: Optional[Branch], new: Branch) -> List[int]:
    """Return the streams that media holds and that are rejected now: their ports are free for others."""
    held = [] if old is None else [at for at, stream in enumerate(old.streams) if stream.open]
    return [at for at in held if new.streams[at].rejected]


def _closed(stream: Stream) -> Stream:
    first, second = (replace(end, local=None) for end in stream.ends)
    return replace(stream, open=False, ends=(first, second))


def without_ports(branch: Branch, index: int) -> Branch:
    """Return the branch after media has ended the stream."""
    stream = _closed(branch.streams[index])
    return replace(branch, streams=(*branch.streams[:index], stream, *branch.streams[index + 1 :]))


def _change(index: int, before: List[Leg], after: List[Leg]) -> Optional[Command]:
    fields, undo = {}, {}
    for at, side in enumerate(SIDES):
        if before[at] == after[at]:
            continue
        names = [name for name, value in after[at].items() if before[at][name] != value]
        if names:
            fields[side] = {name: after[at][name] for name in names}
            undo[side] = {name: before[at][name] for name in names}
    return Command("change", index, fields, undo) if fields else None


def with_ports(branch: Branch, index: int, sides: Dict[str, Any]) -> Branch:
    """Return the branch with the ports that media gave the stream: ``{"a": {"local", "rtcp"}, "b": …}``."""
    stream = branch.streams[index]
    first, second = [
        replace(end, local=(int(sides[side]["local"][1]), int(sides[side]["rtcp"])))
        for side, end in zip(SIDES, stream.ends)  # noqa: B905 (Python 3.9 has no strict=)
    ]
    stream = replace(stream, open=True, ends=(first, second))
    return replace(branch, streams=(*branch.streams[:index], stream, *branch.streams[index + 1 :]))


def restored(call: Dict[str, Any]) -> Optional[Branch]:
    """Return the branch of a call that media dumps, None when it carries no readable record of ours."""
    try:
        branch = branch_from_record(call["blob"])
        for stream in call["streams"]:
            # Control may have ended between a stream's start and the record of it.
            if stream["stream"] < len(branch.streams):
                branch = with_ports(branch, stream["stream"], stream)
    except (KeyError, TypeError, ValueError):
        return None
    return branch if branch.media_id == call.get("call") else None
