"""Session descriptions (RFC 4566) as the relay needs them: media streams, addresses, directions, payload types."""

from __future__ import annotations

import functools
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from vosctl.relay.control.addresses import ip_address

MAX_BYTES = 65535
MAX_LINES = 1000
MAX_LINE = 2048
MAX_MEDIA = 16
MAX_FORMATS = 128
MAX_KNOWN_LINES = 32  # below m=, of descriptions that are remembered

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
RTP_PROTOCOLS = (
    "RTP/AVP",
    "RTP/AVPF",
    "RTP/SAVP",
    "RTP/SAVPF",
    "UDP/TLS/RTP/SAVP",
    "UDP/TLS/RTP/SAVPF",
)
# RFC 3551 §6: the types that need no a=rtpmap.
_STATIC = {
    0: "pcmu/8000", 3: "gsm/8000", 4: "g723/8000", 5: "dvi4/8000", 6: "dvi4/16000", 7: "lpc/8000",
    8: "pcma/8000", 9: "g722/8000", 10: "l16/44100/2", 11: "l16/44100", 12: "qcelp/8000", 13: "cn/8000",
    14: "mpa/90000", 15: "g728/8000", 16: "dvi4/11025", 17: "dvi4/22050", 18: "g729/8000", 25: "celb/90000",
    26: "jpeg/90000", 28: "nv/90000", 31: "h261/90000", 32: "mpv/90000", 33: "mp2t/90000", 34: "h263/90000",
}  # fmt: skip


class SdpError(ValueError):
    """The text is no session description that the relay can carry; the message names the line."""


class Line(NamedTuple):
    """One ``<type>=<value>`` line; ``attribute`` is the name of an ``a=`` line's attribute, ``argument`` what follows."""

    type: str
    value: str
    attribute: str = ""
    argument: str = ""

    @property
    def text(self) -> str:
        """The line as it stands in a description."""
        return f"{self.type}={self.value}"


@functools.lru_cache(maxsize=4096)
def _line(row: str) -> Optional[Line]:
    """Return the line, None when it is none. Most lines of most descriptions are the same few hundred."""
    if len(row) < 2 or row[1] != "=" or not row[0].isalpha() or "\0" in row or "\r" in row:
        return None
    value = row[2:]
    if row[0] != "a":
        return Line(row[0], value)
    name, _, argument = value.partition(":")
    return Line("a", value, name.strip().lower(), argument.strip())


_VERSION = Line("v", "0")


class Rtcp(NamedTuple):
    """An ``a=rtcp`` line (RFC 3605): a port and, perhaps, an address."""

    port: int
    address: Optional[str]


class Media(NamedTuple):
    """One ``m=`` section: ``address`` is its own or the session's ``c=``, ``codecs`` maps types to names."""

    kind: str
    port: int
    protocol: str
    formats: Tuple[str, ...]
    lines: Tuple[Line, ...]
    address: str
    direction: str
    rtcp: Optional[Rtcp]
    rtcp_mux: bool
    codecs: Dict[int, str]
    crypto: Optional[str]
    sdes: Tuple[str, ...]

    @property
    def rejected(self) -> bool:
        """Whether the port is 0 (RFC 3264 §6)."""
        return self.port == 0

    @property
    def is_rtp(self) -> bool:
        """Whether the stream is RTP over UDP, the only kind that is relayed."""
        return self.protocol.upper() in RTP_PROTOCOLS

    @property
    def held(self) -> bool:
        """Whether the address is 0.0.0.0 or ::, which means hold (RFC 3264 §8.4)."""
        return ip_address(self.address).is_unspecified


class Description(NamedTuple):
    """A parsed session description: the session's own lines and the ``m=`` sections."""

    lines: Tuple[Line, ...]
    media: Tuple[Media, ...]


def parse(text: str) -> Description:
    """Return the description in ``text``, whose lines may end in CR LF or LF. Raises ``SdpError``."""
    lines = _split(text)
    starts = [at for at, line in enumerate(lines) if line[0] == "m"]
    if len(starts) > MAX_MEDIA:
        raise SdpError(f"more than {MAX_MEDIA} m= lines")
    session = lines[: starts[0]] if starts else lines
    address = _connection(session, 1)
    way = _direction(session)
    ends = [*starts[1:], len(lines)]
    media = tuple(
        _media(lines[start : ends[index]], start + 1, address, way) for index, start in enumerate(starts)
    )
    return Description(tuple(session), media)


def _split(text: str) -> List[Line]:
    if len(text) > MAX_BYTES:
        raise SdpError(f"longer than {MAX_BYTES} bytes")
    rows = text.rstrip("\r\n").split("\n", MAX_LINES)
    if len(rows) > MAX_LINES:
        raise SdpError(f"more than {MAX_LINES} lines")
    rows = [row.rstrip("\r") for row in rows]
    longest = max(rows, key=len)
    if len(longest) > MAX_LINE:
        raise SdpError(f"line {rows.index(longest) + 1}: longer than {MAX_LINE} characters")
    lines: List[Line] = []
    for row in rows:
        line = _line(row)
        if line is None:
            raise SdpError(f"line {len(lines) + 1}: not <type>=<value>")
        lines.append(line)
    if lines[0] != _VERSION:
        raise SdpError("line 1: not v=0")
    return lines


def _connection(section: Sequence[Line], first: int) -> Optional[str]:
    """Return the address of the section's first c= line, None where there is none; every one must be readable."""
    found = None
    for number, line in enumerate(section, first):
        if line[0] != "c":
            continue
        words = line.value.split()
        try:
            address = ip_address(words[2].partition("/")[0])
        except (IndexError, ValueError):
            raise SdpError(f"line {number}: no address in c={line.value[:80]}") from None
        if words[:2] != ["IN", f"IP{address.version}"]:
            raise SdpError(f"line {number}: c= must be IN IP{address.version} for {address}")
        if address.is_multicast:
            raise SdpError(f"line {number}: multicast cannot be relayed")
        found = found or str(address)
    return found


def _direction(section: Sequence[Line]) -> Optional[str]:
    for line in section:
        if line[2] in DIRECTIONS:
            return line[2]
    return None


def _number(text: str, number: int, what: str, limit: int = 65535) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= limit):
        raise SdpError(f"line {number}: {what} `{text[:20]}` is not a number from 0 to {limit}")
    return int(text)


def _media(section: List[Line], first: int, address: Optional[str], way: Optional[str]) -> Media:
    words = section[0].value.split()
    if len(words) < 4:
        raise SdpError(f"line {first}: m= needs media, port, protocol and a format")
    kind, port_text, protocol = words[:3]
    formats = tuple(words[3:])
    if len(formats) > MAX_FORMATS:
        raise SdpError(f"line {first}: more than {MAX_FORMATS} formats")
    port_word, _, count = port_text.partition("/")
    port = _number(port_word, first, "port")
    if count not in {"", "1"}:
        raise SdpError(f"line {first}: several ports in one m= line cannot be relayed")
    lines = tuple(section[1:])
    body = _known(lines, first + 1) if len(lines) <= MAX_KNOWN_LINES else _read(lines, first + 1)
    own = body.address or address
    if own is None and port:
        raise SdpError(f"line {first}: no c= line for it, neither of its own nor of the session")
    return Media(
        kind=kind,
        port=port,
        protocol=protocol,
        formats=formats,
        lines=lines,
        address=own or "0.0.0.0",  # noqa: S104 - nothing is bound; a rejected stream has no address
        direction=body.direction or way or "sendrecv",
        rtcp=body.rtcp,
        rtcp_mux=body.rtcp_mux,
        codecs=_codecs(formats, body.maps, first) if protocol.upper() in RTP_PROTOCOLS else {},
        crypto=body.crypto,
        sdes=body.sdes,
    )


class _Body(NamedTuple):
    """What the lines below an ``m=`` line say."""

    address: Optional[str]
    direction: Optional[str]
    rtcp: Optional[Rtcp]
    rtcp_mux: bool
    maps: Tuple[str, ...]
    crypto: Optional[str]
    sdes: Tuple[str, ...]


def _read(lines: Tuple[Line, ...], first: int) -> _Body:
    """Return what the lines say, of which the first is line number ``first``. Raises ``SdpError``."""
    found: Dict[str, List[str]] = {}
    for line in lines:
        found.setdefault(line[2], []).append(line[3])
    return _Body(
        _connection(lines, first),
        _direction(lines),
        _rtcp(lines, first) if "rtcp" in found else None,
        "rtcp-mux" in found,
        tuple(found.get("rtpmap", ())),
        found["vos-crypto"][0] if "vos-crypto" in found else None,
        tuple(found.get("crypto", ())),
    )


# A telephone's lines below m= are the same in each of its calls, and in those of its like.
_known = functools.lru_cache(maxsize=512)(_read)


def _rtcp(lines: Sequence[Line], first: int) -> Optional[Rtcp]:
    for number, line in enumerate(lines, first):
        if line.attribute != "rtcp":
            continue
        words = line.argument.split()
        port = _number(words[0] if words else "", number, "a=rtcp port")
        if len(words) < 4:
            return Rtcp(port, None)
        try:
            return Rtcp(port, str(ip_address(words[3])))
        except ValueError:
            raise SdpError(f"line {number}: no address in a=rtcp:{line.argument[:80]}") from None
    return None


@functools.lru_cache(maxsize=1024)
def _codecs(formats: Tuple[str, ...], maps: Tuple[str, ...], first: int) -> Dict[int, str]:
    """Return names by payload type, of a telephone's always the same; nobody changes the table."""
    codecs = {}
    for word in formats:
        payload_type = _number(word, first, "payload type", 127)
        codecs[payload_type] = _STATIC.get(payload_type, f"unknown-{payload_type}")
    for argument in maps:
        words = argument.split()
        if len(words) >= 2 and words[0].isdecimal() and int(words[0][:4]) in codecs:
            codecs[int(words[0][:4])] = words[1].lower()
    return codecs


def negotiated(offer: Dict[int, str], answer: Dict[int, str]) -> Tuple[Tuple[int, ...], Tuple[int, ...]]:
    """Return the payload types to expect from the offerer and from the answerer (RFC 3264 §5.1, §6.1).

    Each sends with the numbers of the other's description. A codec that only one of them names is
    left out, unless that would leave nothing.
    """
    wanted, taken = set(answer.values()), set(offer.values())
    from_offerer = tuple(number for number, name in answer.items() if name in taken) or tuple(answer)
    from_answerer = tuple(number for number, name in offer.items() if name in wanted) or tuple(offer)
    return from_offerer, from_answerer
