"""What is known of each codec: the packet times it can have, and whether tones survive it."""

from __future__ import annotations

from msgspec import Struct


class Codec(Struct, frozen=True):
    """``frame`` is the codec's own frame in ms: packets hold a whole number of them.

    ``tones`` says that in-band digits come through (waveform codecs do, speech models do not).
    """

    frame: int
    tones: bool = False


# Frame sizes: RFC 3551 §4.5 (G.7xx, GSM), RFC 3952 (iLBC, 20 or 30 ms), RFC 7587 (opus), RFC 4867 (AMR).
CODECS = {
    "PCMA": Codec(1, tones=True),
    "PCMU": Codec(1, tones=True),
    "G722": Codec(1, tones=True),
    "G729": Codec(10),
    "G723": Codec(30),
    "GSM": Codec(20),
    "iLBC": Codec(10),
    "opus": Codec(10),
    "AMR": Codec(20),
}


def fits(codec: str, ptime: int) -> bool:
    """Return whether packets of ``ptime`` ms can carry the codec. Unknown codecs do not fit."""
    known = CODECS.get(codec)
    return known is not None and ptime % known.frame == 0 and not (codec == "iLBC" and ptime < 20)


def compressed(codec: str) -> bool:
    """Return whether the codec distorts in-band digits."""
    known = CODECS.get(codec)
    return known is not None and not known.tones
