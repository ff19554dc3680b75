"""Write the session description that the other party gets: the relay's address and ports, nothing to bypass it."""

from __future__ import annotations

import functools
from typing import List, NamedTuple, Optional, Sequence, Tuple

from vosctl.relay.control.addresses import ip_address
from vosctl.relay.control.crypto_attr import NAME as VOS_CRYPTO
from vosctl.relay.control.crypto_attr import Transform
from vosctl.relay.control.sdp import (
    DIRECTIONS,
    MAX_KNOWN_LINES,
    RTP_PROTOCOLS,
    Description,
    Line,
    Media,
)

# An agent that tried these would reach its peer around the relay (RFC 8839), or lean on one port
# for several streams (RFC 8843), where every stream has its own here.
_ICE = frozenset(
    {
        "candidate",
        "remote-candidates",
        "end-of-candidates",
        "ice-ufrag",
        "ice-pwd",
        "ice-options",
        "ice-lite",
        "ice-mismatch",
        "ice-pacing",
    }
)
_SECRET = frozenset({"crypto", "key-mgmt", "fingerprint", "setup"})
_REPLACED = _ICE | {"rtcp", "rtcp-mux", "rtcp-mux-only", "bundle-only", VOS_CRYPTO, *DIRECTIONS}


class Outgoing(NamedTuple):
    """What one ``m=`` line offers to the receiving party; ``port`` 0 rejects the stream.

    ``sdes`` takes the place of the sender's ``a=crypto`` lines; None leaves SRTP to the parties.
    """

    port: int
    rtcp_port: int
    mux: bool
    direction: str
    protocol: str
    crypto: Optional[Transform] = None
    sdes: Optional[Tuple[str, ...]] = None


REJECTED = Outgoing(0, 0, False, "inactive", "")


def write(
    description: Description,
    address: str,
    streams: Sequence[Outgoing],
    *,
    replace_origin: bool = False,
    rtcp_attribute: bool = True,
) -> str:
    """Return ``description`` as SDP text with ``address`` in every ``c=``, one ``Outgoing`` an ``m=`` line.

    The address of ``o=`` changes only with ``replace_origin``; ``0.0.0.0`` stays, as it means hold.
    """
    lines: List[str] = []
    for line in description.lines:
        if line.type == "c":
            lines.append(_connection(line, address))
        elif line.type == "o" and replace_origin:
            lines.append(_origin(line, address))
        elif line.type != "a" or not _is_dropped(line):
            lines.append(line.text)
    for index, media in enumerate(description.media):
        _media(lines, media, streams[index], address, rtcp_attribute=rtcp_attribute)
    lines.append("")
    return "\r\n".join(lines)


def _family(address: str) -> str:
    return "IP6" if ":" in address else "IP4"


def _connection(line: Line, address: str) -> str:
    written = line.value.split()[2].partition("/")[0]
    if ip_address(written).is_unspecified:
        return f"c={line.value}"
    return f"c=IN {_family(address)} {address}"


def _origin(line: Line, address: str) -> str:
    words = line.value.split()
    return " ".join(["o=" + " ".join(words[:3]), "IN", _family(address), address])


def _is_dropped(line: Line) -> bool:
    if line.attribute == "group":
        return line.argument.upper().startswith("BUNDLE")
    return line.attribute in _REPLACED


def _media(lines: List[str], media: Media, stream: Outgoing, address: str, *, rtcp_attribute: bool) -> None:
    protocol = stream.protocol or media.protocol
    lines.append(" ".join(["m=" + media.kind, str(stream.port), protocol, *media.formats]))
    write_kept = _kept_known if len(media.lines) <= MAX_KNOWN_LINES else _kept
    lines.extend(
        write_kept(media.lines, address, protocol, open_=bool(stream.port), secret=stream.sdes is not None)
    )
    if not stream.port:
        return
    lines.append(f"a={stream.direction}")
    if protocol.upper() not in RTP_PROTOCOLS:
        return
    if rtcp_attribute:
        lines.append(f"a=rtcp:{stream.rtcp_port}")
    if stream.mux:
        lines.append("a=rtcp-mux")
    if stream.crypto is not None and stream.crypto.encrypts:
        lines.append(f"a={VOS_CRYPTO}:{stream.crypto.attribute()}")
    lines.extend(f"a=crypto:{value}" for value in stream.sdes or ())


def _kept(
    given: Tuple[Line, ...], address: str, protocol: str, *, open_: bool, secret: bool
) -> Tuple[str, ...]:
    """Return what goes on of the lines below an ``m=`` line: of a stream that is not ``open_``, no attribute.

    With ``secret``, SRTP ends at the relay, and what is about its keys goes no further.
    """
    lines = []
    for line in given:
        if line.type == "c":
            lines.append(_connection(line, address))
        elif line.type != "a":
            lines.append(line.text)
        elif open_ and not (
            _is_dropped(line) or _is_foreign(line, protocol) or (secret and line.attribute in _SECRET)
        ):
            lines.append(f"a={line.value}")
    return tuple(lines)


# The same lines, and the same of the relay's addresses, again and again.
_kept_known = functools.lru_cache(maxsize=512)(_kept)


def _is_foreign(line: Line, protocol: str) -> bool:
    """Tell whether the line belongs to the feedback profile (RFC 4585 §4.2) and ``protocol`` does not."""
    return line.attribute == "rtcp-fb" and not protocol.upper().endswith("F")
