"""What the relay says of its calls: an NG query's totals and tags, and the list behind the admin socket."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Optional, Sequence, Tuple

from vosctl.relay.control import fax, quality
from vosctl.relay.control.calls import Branch, End
from vosctl.relay.control.legs import SIDES

Json = Dict[str, Any]
Streams = List[Json]


def totals(branches: Sequence[Branch], counted: Sequence[Streams], samples: quality.Samples) -> Json:
    """Return ``created``, ``totals`` and ``tags`` as the NG protocol has them.

    ``counted`` holds, for each branch, what media counts for its streams.
    """
    rtp, rtcp = _sum(), _sum()
    for branch in branches:
        if branch.past:
            _add(rtp, dict(zip(("packets", "bytes", "errors"), branch.past)))  # noqa: B905 (Python 3.9)
            _add(rtcp, dict(zip(("packets", "bytes"), branch.past[3:])))  # noqa: B905 (Python 3.9)
    tags: Dict[str, Json] = {}
    for index, branch in enumerate(branches):
        for stream in counted[index]:
            for leg in (stream[name] for name in SIDES):
                _add(rtp, _rtp(leg))
                _add(rtcp, _rtcp(leg))
        for side in (0, 1):
            tag = branch.parties[side].tag
            if tag and tag not in tags:
                tags[tag] = _tag(branch, side, counted[index])
    created = int(min(branch.created for branch in branches))
    return {
        "created": created,
        "totals": {"RTP": rtp, "RTCP": rtcp},
        "tags": tags,
        "SSRC": _scores(branches, counted, samples),
    }


def added(past: Tuple[int, ...], counted: Streams) -> Tuple[int, ...]:
    """Return packets, bytes and errors of RTP, packets and bytes of RTCP, with those of the streams ``counted``."""
    total = list(past or (0, 0, 0, 0, 0))
    for leg in (stream[name] for stream in counted for name in SIDES):
        values = (*_rtp(leg).values(), *list(_rtcp(leg).values())[:2])
        total = [before + value for before, value in zip(total, values)]  # noqa: B905 (Python 3.9)
    return tuple(total)


def _scores(branches: Sequence[Branch], counted: Sequence[Streams], samples: quality.Samples) -> Json:
    now = int(time.time())
    found: Json = {}
    for branch, streams in zip(branches, counted):  # noqa: B905 (Python 3.9 has no strict=)
        legs = [
            (
                stream[name],
                stream[SIDES[1 - side]],
                _codec(branch.streams[stream["stream"]].ends[side], stream[name]),
            )
            for stream in streams
            if stream["stream"] < len(branch.streams)
            for side, name in enumerate(SIDES)
        ]
        found.update(quality.ng_report(branch.call_id, legs, samples, now))
    return found


def _sum() -> Json:
    return {"packets": 0, "bytes": 0, "errors": 0}


def _add(total: Json, part: Json) -> None:
    for name, value in part.items():
        total[name] += value


def _rtp(leg: Json) -> Json:
    return {"packets": leg["packets"], "bytes": leg["bytes"], "errors": leg["dropped"] + leg["malformed"]}


def _rtcp(leg: Json) -> Json:
    return {"packets": leg["rtcp_packets"], "bytes": leg["rtcp_bytes"], "errors": 0}


def _tag(branch: Branch, side: int, counted: Streams) -> Json:
    medias = []
    for stream in counted:
        number = stream["stream"]
        if number < len(branch.streams):
            end, leg = branch.streams[number].ends[side], stream[SIDES[side]]
            medias.append(
                {
                    "index": number + 1,
                    "type": branch.streams[number].kind,
                    "protocol": end.protocol,
                    "streams": [
                        _socket(leg["local"][1], leg["learned"] or end.remote, _rtp(leg), leg["ssrc"]),
                        _socket(leg["rtcp"], leg["rtcp_learned"] or end.rtcp, _rtcp(leg), leg["ssrc"]),
                    ],
                }
            )
    party = branch.parties[side]
    result: Json = {"tag": party.tag, "created": int(branch.created), "medias": medias}
    if party.label:
        result["label"] = party.label
    if branch.parties[1 - side].tag:
        result["in dialogue with"] = branch.parties[1 - side].tag
    return result


def _socket(port: int, far: Optional[Sequence[Any]], stats: Json, ssrc: int) -> Json:
    result: Json = {"local port": port, "SSRC": ssrc, "stats": stats}
    if far:
        family = "IPv6" if ":" in far[0] else "IPv4"
        result["endpoint"] = {"family": family, "address": far[0], "port": far[1]}
    return result


def idle_seconds(branch: Branch, counted: Streams) -> float:
    """Return for how long nothing has come on any leg of ``branch``; its age when nothing ever came."""
    age = time.time() - branch.created
    idle = [stream[side]["idle_ms"] for stream in counted for side in SIDES]
    return float(min([age, *(value / 1000 for value in idle if value is not None)]))


def listed(branch: Branch, counted: Streams) -> Json:
    """Return one call of the admin socket's list, with a leg for each end of each stream."""
    first, second = branch.parties
    return {
        "call-id": branch.call_id,
        "from": first.name,
        "to": second.name,
        "from-tag": first.tag,
        "to-tag": second.tag,
        "started": round(branch.created, 3),
        "answered": branch.answered,
        "bypass": branch.bypass,
        "legs": [
            _leg(branch, stream, side)
            for stream in counted
            if stream["stream"] < len(branch.streams)
            for side in (0, 1)
        ],
    }


def _leg(branch: Branch, stream: Json, side: int) -> Json:
    end, leg = branch.streams[stream["stream"]].ends[side], stream[SIDES[side]]
    other, codec = stream[SIDES[1 - side]], _codec(end, leg)
    return {
        **leg,
        "mos": None if codec == fax.NAME else quality.leg_mos(leg, other, codec),
        "loss_percent": round(quality.loss_percent(leg), 3),
        "side": SIDES[side],
        "stream": stream["stream"],
        "name": branch.parties[side].name,
        "codec": codec,
        "direction": end.direction,
        "mode": end.rx.mode,
        "kid": end.rx.kid,
        "tx_mode": end.tx.mode,
        "tx_kid": end.tx.kid,
        "remote": end.remote and list(end.remote),
        "learn": end.learn,
    }


def _codec(end: End, leg: Json) -> str:
    """Return the name of the codec that was last heard, else of the first that was agreed; T38 is a fax."""
    if fax.runs(end):
        return fax.NAME
    heard = leg["payload_type"] if leg["packets"] else next(iter(end.pts), -1)
    name = end.codecs.get(heard) or next(iter(end.codecs.values()), "")
    return name.partition("/")[0].upper()
