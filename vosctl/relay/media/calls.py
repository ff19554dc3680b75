"""The call table: streams that run, as control asked for them, and what control keeps with each call."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Dict, List, Optional, Tuple

from vosctl.relay.media import layout
from vosctl.relay.media.errors import RequestError
from vosctl.relay.media.keys import Keys
from vosctl.relay.media.layout import LONG_COUNTERS, View
from vosctl.relay.media.leg import Crypt, Leg, parse_leg
from vosctl.relay.media.plane import (
    BLOCK_EVENTS,
    CHANGE_REST,
    CHANGE_RX,
    CHANGE_TX,
    FILTERS,
    LEARN,
    Event,
    Plane,
    Stream,
)
from vosctl.relay.media.ports import Ports

SIDES = ("a", "b")
NO_BUFFER = (0, 0, 0, 0, 0)
_TOLD = (*LONG_COUNTERS, "ssrc", "sources", "payload_type")
_pick = itemgetter(*_TOLD)
Json = Dict[str, Any]


@dataclass
class Running:
    """A stream that the data plane relays."""

    id: int
    call: str
    number: int
    stream: Stream
    legs: List[Leg]
    ports: Tuple[int, int]


@dataclass
class Call:
    """A call: its streams by number, and control's own record of it."""

    blob: Any = None
    streams: Dict[int, Running] = field(default_factory=dict)


class Calls:
    """All calls of this host. Every method either does the whole of what it says or changes nothing."""

    def __init__(self, plane: Plane, keys: Keys, ports: Ports, *, file_limit: int) -> None:
        self._plane = plane
        self._keys = keys
        self._ports = ports
        self._file_limit = file_limit
        self._calls: Dict[str, Call] = {}
        self._by_id: Dict[int, Running] = {}
        self._next_id = 1
        self.dscp = 46
        self.timeout_ms = 30_000
        self.draining = False

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def streams(self) -> int:
        """How many streams run."""
        return len(self._by_id)

    def set_timeout(self, milliseconds: int) -> None:
        """Report legs that are silent for so long, running ones too; 0 never reports."""
        if milliseconds == self.timeout_ms:
            return
        self.timeout_ms = milliseconds
        none = layout.NO_TRANSFORM
        for running in self._by_id.values():
            for side in (0, 1):
                self._plane.change(
                    running.stream, side, self._conf(running.legs[side], (none, none)), CHANGE_REST
                )

    def add(self, name: str, number: int, legs: Tuple[Any, Any], blob: Any) -> Json:
        """Start a stream, or bring the one that runs to what ``legs`` say; return both legs' ports."""
        running = self._find(name, number)
        if running is None:
            running = self._start(name, number, legs)
        else:
            wanted = [parse_leg(legs[side], side=SIDES[side], dscp=self.dscp) for side in (0, 1)]
            self._update(running, wanted)
        call = self._calls.setdefault(name, Call())
        call.streams[number] = running
        if blob is not None:
            call.blob = blob
        return {side: _places(running, at) for at, side in enumerate(SIDES)}

    def change(self, name: str, number: int, legs: Tuple[Any, Any], blob: Any) -> None:
        """Change what the partial ``legs`` name (None: nothing); what stays the same is not touched."""
        running = self._find(name, number)
        if running is None:
            raise RequestError(f"no stream {number} in call {name!r}")
        wanted = [
            running.legs[side]
            if legs[side] is None
            else parse_leg(legs[side], side=SIDES[side], base=running.legs[side])
            for side in (0, 1)
        ]
        self._update(running, wanted)
        if blob is not None:
            self._calls[name].blob = blob

    def keep(self, name: str, blob: Any) -> None:
        """Hold control's record of a call, which need not have a stream; it stays until the call is removed."""
        self._calls.setdefault(name, Call()).blob = blob

    def remove(self, name: str, number: Optional[int] = None, blob: Any = None) -> Optional[Json]:
        """End a call, or its stream ``number``; return the last counters, None when there was no such call.

        The call ends with its last stream, unless there is a ``blob`` to hold further.
        """
        if name not in self._calls:
            return None
        call = self._calls[name]
        ending = [each for each in sorted(call.streams) if number in {None, each}]
        told = {"streams": [self._end(call.streams[each]) for each in ending]}
        if blob is not None:
            call.blob = blob
        elif not call.streams:
            del self._calls[name]
        return told

    def dump(self) -> List[Json]:
        """Return every call with its blob, legs, ports and counters."""
        self._plane.refresh()
        return [self._described(name, whole=True) for name in self._calls]

    def stats(self, name: Optional[str]) -> List[Json]:
        """Return the counters of one call or of all; raise RequestError for an unknown one."""
        if name is not None and name not in self._calls:
            raise RequestError(f"no call {name!r}")
        if name is None:
            self._plane.refresh()
            return [self._described(known, whole=False) for known in self._calls]
        for running in self._calls[name].streams.values():
            self._plane.refresh(running.stream)
        return [self._described(name, whole=False)]

    def event(self, event: Event) -> Optional[Json]:
        """Return an event in the words of the protocol, or None when its stream has just ended."""
        running = self._by_id.get(event.stream)
        if running is None:
            return None
        told: Json = {
            "event": event.kind,
            "call": running.call,
            "stream": running.number,
            "side": SIDES[event.side],
            "remote": list(event.remote) if event.remote else None,
        }
        if event.kind == "timeout":
            told["idle_ms"] = event.value
            told["other_idle_ms"] = _idle(running.stream.live[1 - event.side].read())
        else:
            told["ssrc"] = event.value
        return told

    def close(self) -> None:
        """End every call."""
        for name in list(self._calls):
            self.remove(name)

    def running(self, name: str) -> List[Running]:
        """Return the call's streams; raise RequestError for an unknown call."""
        if name not in self._calls:
            raise RequestError(f"no call {name!r}")
        return list(self._calls[name].streams.values())

    def by_id(self, number: int) -> Optional[Running]:
        """Return the stream that the data plane knows by this number."""
        return self._by_id.get(number)

    def _find(self, name: str, number: int) -> Optional[Running]:
        call = self._calls.get(name)
        return call.streams.get(number) if call else None

    def _start(self, name: str, number: int, raw: Tuple[Any, Any]) -> Running:
        if self.draining:
            raise RequestError("draining: this relay takes no new calls")
        legs = [parse_leg(raw[side], side=SIDES[side], dscp=self.dscp) for side in (0, 1)]
        transforms = [self._transforms(leg) for leg in legs]
        taken: List[Tuple[str, int, Tuple[int, int]]] = []
        try:
            for leg in legs:
                port, fds = self._ports.take(leg.address, self._plane.open)
                taken.append((leg.address, port, fds))
            first, second = (
                self._conf(legs[at], transforms[at], port, fds) for at, (_, port, fds) in enumerate(taken)
            )
            stream = self._plane.add(self._next_id, (first, second))
        except (OSError, RequestError) as error:
            for host, port, fds in taken:
                self._plane.close(fds)
                self._ports.give(host, port)
            raise self._explained(error, legs) from None
        running = Running(self._next_id, name, number, stream, legs, (taken[0][1], taken[1][1]))
        self._by_id[self._next_id] = running
        self._next_id += 1
        return running

    def _explained(self, error: Exception, legs: List[Leg]) -> RequestError:
        if not isinstance(error, OSError):
            return RequestError(str(error))
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return RequestError(
                f"too many open files: this process may hold {self._file_limit}, each stream needs 4 and takes 6 "
                "where there is room; raise the limit (LimitNOFILE= in the unit, ulimit -n) or send calls elsewhere"
            )
        hosts = " or ".join(sorted({leg.address for leg in legs}))
        return RequestError(f"cannot open a port on {hosts}: {os.strerror(error.errno or 0)}")

    def _update(self, running: Running, wanted: List[Leg]) -> None:
        """Bring both legs to ``wanted``; the keys are looked up first, so that an unknown one changes nothing."""
        steps = []
        for side in (0, 1):
            if running.legs[side].address != wanted[side].address:
                raise RequestError(f"{SIDES[side]}.address: the local address of a running leg cannot change")
            what = running.legs[side].differences(wanted[side])
            if what:
                steps.append((side, what, self._conf(wanted[side], self._transforms(wanted[side], what))))
        for side, what, conf in steps:
            try:
                self._plane.change(running.stream, side, conf, what)
            except OSError as error:
                raise self._explained(error, wanted) from None
            running.legs[side] = wanted[side]

    def _conf(
        self, leg: Leg, transforms: Tuple[bytes, bytes], port: int = 0, fds: Tuple[int, int] = (-1, -1)
    ) -> bytes:
        nowhere, jitter = layout.NOWHERE, leg.jitter
        return layout.leg(
            fds=fds,
            addresses=(
                layout.address(leg.address, port),
                layout.address(*leg.remote) if leg.remote else nowhere,
                layout.address(*leg.rtcp_remote) if leg.rtcp_remote else nowhere,
                layout.address(leg.source) if leg.source else nowhere,
            ),
            switches=(
                *(LEARN[leg.learn], leg.mux, leg.send, leg.receive, leg.dscp, leg.judge),
                *(FILTERS.get(leg.media, 0) | (0 if leg.dtmf else BLOCK_EVENTS), leg.udptl),
            ),
            timeout_ms=self.timeout_ms,
            playout=(jitter.minimum, jitter.maximum, jitter.start, 1, jitter.adaptive)
            if jitter
            else NO_BUFFER,
            sets=(
                layout.payload_types(leg.pts),
                layout.payload_types(leg.events),
                leg.clock_table(),
            ),
            transforms=transforms,
        )

    def _transforms(self, leg: Leg, what: int = CHANGE_RX | CHANGE_TX) -> Tuple[bytes, bytes]:
        """Return rx and tx, each only when it is among ``what`` is to change. Raises ``RequestError``."""
        rx, tx = (
            self._transform(crypt) if what & bit else layout.NO_TRANSFORM
            for crypt, bit in ((leg.rx, CHANGE_RX), (leg.tx, CHANGE_TX))
        )
        return rx, tx

    def _transform(self, crypt: Crypt) -> bytes:
        if crypt.mode == "none":
            return layout.NO_TRANSFORM
        mode = crypt.kid if crypt.mode == "srtp" else crypt.mode
        if mode not in self._plane.modes:
            found = self._plane.crypto or "no libcrypto.so.3 or .so.1.1"
            raise RequestError(f"{mode}: the libcrypto of this node cannot do it ({found})")
        return bytes(self._keys.transform(crypt.mode, crypt.kid, bytes.fromhex(crypt.salt), crypt.key))

    def _end(self, running: Running) -> Json:
        told: Json = {"stream": running.number}
        for at, side in enumerate(SIDES):
            told[side] = {**_places(running, at), **state(running.stream.live[at].read())}
        del self._calls[running.call].streams[running.number]
        del self._by_id[running.id]
        for at, last in enumerate(self._plane.remove(running.stream)):
            told[SIDES[at]].update(tallies(last))
            self._ports.give(running.legs[at].address, running.ports[at])
        return told

    def _described(self, name: str, *, whole: bool) -> Json:
        call = self._calls[name]
        streams = [self._counted(call.streams[number], whole=whole) for number in sorted(call.streams)]
        return {"call": name, "streams": streams, **({"blob": call.blob} if whole else {})}

    def _counted(self, running: Running, *, whole: bool = False) -> Json:
        told: Json = {"stream": running.number}
        for at, side in enumerate(SIDES):
            told[side] = {
                **(running.legs[at].as_json() if whole else {}),
                **_places(running, at),
                **tallies(running.stream.live[at].counters()),
                **state(running.stream.live[at].read()),
            }
        return told


def _places(running: Running, side: int) -> Json:
    port = running.ports[side]
    return {"local": [running.legs[side].address, port], "rtcp": port + 1}


def _idle(view: View) -> Optional[int]:
    """Milliseconds since anything genuine arrived; None when nothing ever did."""
    return max(0, time.monotonic_ns() // 1_000_000 - view.last_ms) if view.last_ms else None


def tallies(counted: Dict[str, int]) -> Json:
    """Return a leg's counters in the words of the protocol: what arrived on it, and what left by it."""
    told: Json = dict(zip(_TOLD, _pick(counted)))  # noqa: B905 (Python 3.9 has no strict=)
    told["lost"] = counted["expected"] - counted["packets"]
    told["jitter_ms"] = counted["jitter_us"] / 1000
    told["playout_ms"] = counted["playout_us"] / 1000
    told["rtt_ms"] = counted["rtt_us"] / 1000 if counted["rtt_us"] else None
    told["ptime_ms"] = counted["ptime_us"] / 1000 if counted["ptime_us"] else None
    return told


def state(view: View) -> Json:
    """Return what a leg has learned, and when it was last heard."""
    return {
        "learned": view.learned,
        "rtcp_learned": view.rtcp_learned,
        "idle_ms": _idle(view),
        "key_mismatch": view.mismatch,
    }
