"""A leg as control describes it: parsed once, compared with what runs, and handed to the data plane."""

from __future__ import annotations

import functools
import ipaddress
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from vosctl.relay.media import layout
from vosctl.relay.media.errors import RequestError
from vosctl.relay.media.layout import Endpoint
from vosctl.relay.media.plane import (
    CHANGE_JUDGE,
    CHANGE_PLAYOUT,
    CHANGE_REMOTE,
    CHANGE_REST,
    CHANGE_RTCP,
    CHANGE_RX,
    CHANGE_TX,
    FILTERS,
    LEARN,
    SUITES,
)

_MODES = ("none", "xor", "rc4", "aes128", "srtp")
_SALT = re.compile(r"[0-9a-fA-F]{8}")
CLOCK = 8000
_STATIC_CLOCKS = {6: 16000, 10: 44100, 11: 44100, 14: 90000, 16: 11025, 17: 22050}
_VIDEO = range(25, 35)


@functools.lru_cache(maxsize=256)
def _clock_table(clocks: Tuple[Tuple[int, int], ...]) -> bytes:
    table = dict.fromkeys(range(128), CLOCK)
    table.update(dict.fromkeys(_VIDEO, 90000))
    table.update(_STATIC_CLOCKS)
    table.update(clocks)
    return layout.clocks(tuple(table[pt] for pt in range(128)))


@dataclass(frozen=True)
class Crypt:
    """How one direction is transformed; ``salt`` is 8 hex digits.

    With ``srtp``, ``kid`` is the crypto suite and ``key`` its master key and salt in Base64 (RFC 4568 §6.1).
    """

    mode: str = "none"
    kid: str = ""
    salt: str = "00000000"
    key: str = field(default="", repr=False)

    def as_json(self) -> Dict[str, Any]:
        """Return what may be told: the key itself stays here, as those of the table do."""
        return {"mode": self.mode, "kid": self.kid, "salt": self.salt}


@dataclass(frozen=True)
class Jitter:
    """A jitter buffer, in milliseconds; a fixed one keeps ``start``."""

    adaptive: bool
    minimum: int
    maximum: int
    start: int

    def as_json(self) -> Dict[str, Any]:
        """Return the buffer in the words of the protocol."""
        mode = "adaptive" if self.adaptive else "fixed"
        return {"mode": mode, "min": self.minimum, "max": self.maximum, "start": self.start}


@dataclass(frozen=True)
class Leg:
    """One leg of a stream. ``pts`` empty means any payload type; ``clocks`` are in Hz, 8,000 where absent.

    ``media`` (pass, block or silence) and ``dtmf`` (whether it passes) are about what the leg sends;
    ``events`` are the payload types that are DTMF. With ``udptl`` it carries a fax, and nothing of RTP.
    """

    address: str
    remote: Optional[Endpoint] = None
    rtcp_remote: Optional[Endpoint] = None
    mux: bool = False
    learn: str = "sdp"
    source: Optional[str] = None
    pts: Tuple[int, ...] = ()
    clocks: Tuple[Tuple[int, int], ...] = ()
    rx: Crypt = Crypt()
    tx: Crypt = Crypt()
    dscp: int = 46
    send: bool = True
    receive: bool = True
    judge: bool = False
    media: str = "pass"
    dtmf: bool = True
    events: Tuple[int, ...] = ()
    udptl: bool = False
    jitter: Optional[Jitter] = None

    def differences(self, other: "Leg") -> int:
        """Return which ``CHANGE_…`` lead from ``self`` to ``other``; 0 when they are equal."""
        what, mine, theirs = 0, vars(self), vars(other)
        if mine == theirs:
            return what
        for name, value in mine.items():
            if value != theirs[name]:
                what |= _TOUCHES.get(name, CHANGE_REST)
        return what

    def clock_table(self) -> bytes:
        """Return the RTP clock of every payload type (RFC 3551 table 4 for the static ones), in Hz, packed."""
        return _clock_table(self.clocks)

    def as_json(self) -> Dict[str, Any]:
        """Return the leg in the words of the protocol."""
        return {
            "address": self.address,
            "remote": list(self.remote) if self.remote else None,
            "rtcp_remote": list(self.rtcp_remote) if self.rtcp_remote else None,
            "mux": self.mux,
            "learn": self.learn,
            "from": self.source,
            "pts": list(self.pts),
            "clocks": {str(pt): clock for pt, clock in self.clocks},
            "rx": self.rx.as_json(),
            "tx": self.tx.as_json(),
            "dscp": self.dscp,
            "send": self.send,
            "receive": self.receive,
            "judge": self.judge,
            "media": self.media,
            "dtmf": self.dtmf,
            "events": list(self.events),
            "udptl": self.udptl,
            "jitter": self.jitter and self.jitter.as_json(),
        }


_TOUCHES = {
    **dict.fromkeys(("remote", "learn", "source"), CHANGE_REMOTE),
    **dict.fromkeys(("rtcp_remote", "mux"), CHANGE_RTCP),
    "rx": CHANGE_RX,
    "tx": CHANGE_TX,
    "judge": CHANGE_JUDGE,
    "jitter": CHANGE_PLAYOUT,
}


def _ip(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be an IP address")  # noqa: TRY004 (one kind of error for one kind of mistake)
    return _host(value)[0]


@functools.lru_cache(maxsize=4096)
def _host(value: str) -> Tuple[str, bool]:
    """Return a literal IP in its standard form, and whether it is an address at all (not 0.0.0.0 or ::)."""
    name, percent, interface = value.partition("%")
    ip = ipaddress.ip_address(name)
    return f"{ip}{percent}{interface}", not ip.is_unspecified


def _optional_ip(value: Any) -> Optional[str]:
    return None if value is None else _ip(value)


def _endpoint(value: Any) -> Optional[Endpoint]:
    """``[ip, port]``; null, port 0 and the unspecified address (a call on hold) are nowhere."""
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or len(value) != 2 or not _integer(value[1], 0, 65535):
        raise ValueError("must be [ip, port] or null")
    if not isinstance(value[0], str):
        raise ValueError("must be an IP address")  # noqa: TRY004
    host, specified = _host(value[0])
    return (host, value[1]) if value[1] and specified else None


def _integer(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004
    return value


def _learn(value: Any) -> str:
    if value not in LEARN:
        raise ValueError(f"must be one of {', '.join(LEARN)}")
    return str(value)


def _media(value: Any) -> str:
    if value not in {"pass", *FILTERS}:
        raise ValueError("must be pass, block or silence")
    return str(value)


def _pts(value: Any) -> Tuple[int, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError("must be a list of payload types, 0 to 127")  # noqa: TRY004
    for pt in value:
        if type(pt) is not int or not 0 <= pt <= 127:
            raise ValueError("must be a list of payload types, 0 to 127")
    return tuple(sorted(set(value)))


def _clocks(value: Any) -> Tuple[Tuple[int, int], ...]:
    if not isinstance(value, Mapping):
        raise ValueError('must be an object such as {"111": 48000}')  # noqa: TRY004
    table = []
    for pt, clock in value.items():
        if not str(pt).isdigit() or int(pt) > 127 or not _integer(clock, 1, 10_000_000):
            raise ValueError("must map payload types to clocks in Hz")
        table.append((int(pt), clock))
    return tuple(sorted(table))


def _crypt(value: Any) -> Crypt:
    if not isinstance(value, Mapping) or value.get("mode", "none") not in _MODES:
        raise ValueError(f"must be an object with a mode of {', '.join(_MODES)}")
    mode = value.get("mode", "none")
    if mode == "none":
        return Crypt()
    kid, salt = value.get("kid"), value.get("salt", "00000000")
    if not isinstance(kid, str):
        raise ValueError(f"{mode} needs a kid")  # noqa: TRY004
    if not isinstance(salt, str) or not _SALT.fullmatch(salt):
        raise ValueError("salt must be 8 hex digits")
    key = value.get("key", "")
    if mode == "srtp" and (kid not in SUITES or not isinstance(key, str)):
        raise ValueError(f"srtp needs a kid of {', '.join(SUITES)} and a key")
    return Crypt(mode, kid, salt.lower(), key if mode == "srtp" else "")


def _jitter(value: Any) -> Optional[Jitter]:
    if value is None:
        return None
    if not isinstance(value, Mapping) or value.get("mode") not in {"fixed", "adaptive"}:
        raise ValueError("must be null or an object with a mode of fixed or adaptive")
    bounds: List[Any] = [value.get(name) for name in ("min", "start", "max")]
    if not all(_integer(given, 1, 400) for given in bounds) or sorted(bounds) != bounds:
        raise ValueError("min, start and max are milliseconds, from 1 to 400, each no more than the next")
    least, start, most = bounds
    return Jitter(value["mode"] == "adaptive", least, most, start)


def _dscp(value: Any) -> int:
    if not _integer(value, 0, 63):
        raise ValueError("must be a DSCP, 0 to 63")
    return int(value)


_PARSERS: Dict[str, Tuple[str, Callable[[Any], Any]]] = {
    "address": ("address", _ip),
    "remote": ("remote", _endpoint),
    "rtcp_remote": ("rtcp_remote", _endpoint),
    "mux": ("mux", _bool),
    "learn": ("learn", _learn),
    "from": ("source", _optional_ip),
    "pts": ("pts", _pts),
    "clocks": ("clocks", _clocks),
    "rx": ("rx", _crypt),
    "tx": ("tx", _crypt),
    "dscp": ("dscp", _dscp),
    "send": ("send", _bool),
    "receive": ("receive", _bool),
    "judge": ("judge", _bool),
    "media": ("media", _media),
    "dtmf": ("dtmf", _bool),
    "events": ("events", _pts),
    "udptl": ("udptl", _bool),
    "jitter": ("jitter", _jitter),
}


def parse_leg(raw: Any, *, side: str, base: Optional[Leg] = None, dscp: int = 46) -> Leg:
    """Return the leg that ``raw`` describes, on top of ``base`` where that is given (a partial leg).

    A leg is judged for a wrong key where it is decrypted without proof (SRTP proves), unless ``judge`` says
    otherwise. Raises
    RequestError that names the field.
    """
    if not isinstance(raw, dict):
        raise RequestError(f"{side}: must be an object")
    values: Dict[str, Any] = {}
    for name, value in raw.items():
        if name not in _PARSERS:
            raise RequestError(f"{side}.{name}: no such field")
        field, parser = _PARSERS[name]
        try:
            values[field] = parser(value)
        except ValueError as error:
            raise RequestError(f"{side}.{name}: {error}") from None
    if "rx" in values and "judge" not in values:
        values["judge"] = values["rx"].mode not in {"none", "srtp"}
    if base is None and "address" not in values:
        raise RequestError(f"{side}.address: missing")
    if base is None:
        values.setdefault("dscp", dscp)
    # As the generated __init__ would, field by field, at a tenth of its cost.
    leg = object.__new__(Leg)
    vars(leg).update(vars(_USUAL if base is None else base))
    vars(leg).update(values)
    return _consistent(leg, side)


_USUAL = Leg("")


def _consistent(leg: Leg, side: str) -> Leg:
    if leg.learn == "nat" and leg.source is None:
        raise RequestError(f"{side}.from: learn nat needs the address that the signalling came from")
    inet6 = ":" in leg.address
    for name, host in (
        ("remote", leg.remote and leg.remote[0]),
        ("rtcp_remote", leg.rtcp_remote and leg.rtcp_remote[0]),
        ("from", leg.source),
    ):
        if host and (":" in host) != inet6:
            family = "IPv6" if inet6 else "IPv4"
            raise RequestError(f"{side}.{name}: {host} cannot be reached from {leg.address} ({family})")
    return leg
