"""The little SDP (RFC 8866) that the demo's phones speak, and what it reads from the relays' answers."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CONNECTION = re.compile(r"^c=IN IP4 (\S+)", re.MULTILINE)
_AUDIO = re.compile(r"^m=audio (\d+)", re.MULTILINE)
_CRYPTO = re.compile(r"^a=vos-crypto:(\S+) kid=(\S+) salt=([0-9a-f]{8})", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Crypto:
    """How one direction of a trunk is encrypted, as its SDP says."""

    mode: str
    kid: str
    salt: bytes


def phone(address: str, port: int) -> str:
    """Return the SDP of a phone that speaks A-law."""
    lines = (
        "v=0", f"o=- 1 1 IN IP4 {address}", "s=-", f"c=IN IP4 {address}", "t=0 0", f"m=audio {port} RTP/AVP 8",
        "a=rtpmap:8 PCMA/8000", "a=ptime:20", "a=sendrecv", "",
    )  # fmt: skip
    return "\r\n".join(lines)


def media_address(text: str) -> tuple[str, int]:
    """Return where the SDP wants its audio; raises ValueError for an SDP without any."""
    connection, audio = _CONNECTION.search(text), _AUDIO.search(text)
    if connection is None or audio is None:
        raise ValueError(f"an SDP without audio:\n{text}")
    return connection[1], int(audio[1])


def move_media(text: str, address: tuple[str, int]) -> str:
    """Return the SDP with its audio at another address."""
    text = _CONNECTION.sub(f"c=IN IP4 {address[0]}", text)
    text = re.sub(r"^a=rtcp:.*\r?\n", "", text, flags=re.MULTILINE)
    return _AUDIO.sub(f"m=audio {address[1]}", text)


def crypto(text: str) -> Crypto | None:
    """Return what the SDP says of the payload's encryption; None where it says nothing."""
    found = _CRYPTO.search(text)
    return None if found is None else Crypto(found[1], found[2], bytes.fromhex(found[3]))
