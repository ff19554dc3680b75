"""SRTP keys in SDP (RFC 4568): which ``a=crypto`` lines the relay takes, and what it offers and answers itself.

The relay ends SRTP on each leg: every party has keys of its own with it, and none sees another's.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from dataclasses import replace
from typing import FrozenSet, List, Tuple

from vosctl.relay.control.calls import End, Stream
from vosctl.relay.control.crypto_attr import PLAIN, Transform
from vosctl.relay.control.request import RefusalError
from vosctl.relay.control.sdp import Media

SRTP = "srtp"
SECURE = {"RTP/SAVP": "RTP/AVP", "RTP/SAVPF": "RTP/AVPF"}
# In the order in which they are offered, with the bytes of their master key and salt.
SUITES = {"AES_CM_128_HMAC_SHA1_80": 30, "AES_CM_128_HMAC_SHA1_32": 30, "AEAD_AES_128_GCM": 28}

# One key, perhaps with a lifetime; a master key identifier is not read. What follows may only be WSH (§6.3.7):
# every other session parameter changes how packets are made.
_LINE = re.compile(
    r"(?P<tag>\d{1,9})\s+(?P<suite>\w{1,40})\s+inline:(?P<key>[A-Za-z0-9+/]{36,44}={0,2})(\|[0-9^]{1,16})?"
    r"(\s+WSH=\d{1,6})*\s*",
    re.ASCII,
)


def is_secure(protocol: str) -> bool:
    """Tell whether ``protocol`` is SRTP with its keys in the SDP."""
    return protocol.upper() in SECURE


def secured(protocol: str, *, secure: bool) -> str:
    """Return ``protocol`` as SRTP or as plain RTP; what is neither stays."""
    table = {plain: sealed for sealed, plain in SECURE.items()} if secure else SECURE
    return table.get(protocol.upper(), protocol)


def usable(media: Media) -> List[Tuple[int, Transform]]:
    """Return the tags and keys of the ``a=crypto`` lines that the relay can do, in their order."""
    found = []
    for line in media.sdes:
        parts = _LINE.fullmatch(line)
        if parts and parts["suite"] in SUITES:
            key = _key(parts["key"], SUITES[parts["suite"]])
            if key:
                found.append((int(parts["tag"]), Transform(SRTP, parts["suite"], key=key)))
    return found


def _key(text: str, length: int) -> str:
    """Return the Base64 text with its padding, or nothing when it does not hold ``length`` bytes."""
    bare = text.rstrip("=")
    padded = bare + "=" * (-len(bare) % 4)
    try:
        return padded if len(base64.b64decode(padded, validate=True)) == length else ""
    except (binascii.Error, ValueError):
        return ""


def _fresh(suite: str) -> Transform:
    return Transform(SRTP, suite, key=base64.b64encode(os.urandom(SUITES[suite])).decode())


def ends_here(stream: Stream) -> bool:
    """Tell whether the relay holds SRTP keys for either end of the stream."""
    return any(end.offers or end.proposed or end.tx.mode == SRTP for end in stream.ends)


def cleared(end: End) -> End:
    """Return the end without SRTP keys."""
    if SRTP not in {end.tx.mode, end.rx.mode} and not end.offers and not end.proposed:
        return end
    return replace(end, rx=PLAIN, tx=PLAIN, said=None, offers=(), proposed=())


def offered_by(media: Media, end: End, *, answered: bool) -> End:
    """Return the end after its party's offer. Raises ``RefusalError``.

    In a call that is answered, the keys count from the answer on (RFC 4568 §7.1.4), and the suite stays
    if it is still offered.
    """
    found = usable(media)
    if not found:
        raise RefusalError(f"No a=crypto that this relay can do; it does {', '.join(SUITES)}")
    tag, rx = next((one for one in found if one[1].kid == end.tx.kid), found[0])
    tx = end.tx if end.tx[:2] == rx[:2] else _fresh(rx.kid)
    if answered:
        return replace(end, tag=tag, proposed=(rx, tx), said=None)
    return replace(end, tag=tag, rx=rx, tx=tx, said=None, proposed=())


def completed(end: End) -> End:
    """Return the end of an offerer whose offer has been answered."""
    if not end.proposed:
        return end
    rx, tx = end.proposed
    return replace(end, rx=rx, tx=tx, proposed=())


def offering(end: End, suites: FrozenSet[str] = frozenset(SUITES)) -> End:
    """Return the end with a key for each of the suites, to be offered to its party; the one in use stays among them."""
    if end.offers:
        return end
    mine = [end.tx] if end.tx.mode == SRTP else []
    return replace(
        end, offers=(*mine, *(_fresh(suite) for suite in SUITES if suite in suites - {t.kid for t in mine}))
    )


def answered_by(media: Media, end: End) -> End:
    """Return the end after its party has answered what was offered to it. Raises ``RefusalError``."""
    for tag, rx in usable(media):
        if 1 <= tag <= len(end.offers) and end.offers[tag - 1].kid == rx.kid:
            return replace(end, rx=rx, tx=end.offers[tag - 1], said=None)
    raise RefusalError(f"The answer, {media.protocol}, has no a=crypto for a tag and suite that was offered")


def lines(end: End, *, answering: bool) -> Tuple[str, ...]:
    """Return the values of the ``a=crypto`` lines towards the party of ``end``."""
    if answering:
        _, tx = end.proposed or (end.rx, end.tx)
        return (_line(end.tag, tx),) if tx.mode == SRTP else ()
    return tuple(_line(at, tx) for at, tx in enumerate(end.offers, 1))


def _line(tag: int, tx: Transform) -> str:
    return f"{tag} {tx.kid} inline:{tx.key}"
