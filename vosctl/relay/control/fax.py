"""Faxes over UDPTL (ITU-T T.38): passed on as they are, which no encryption of a trunk covers."""

from __future__ import annotations

from typing import Iterable, Tuple

from vosctl.relay.control import sdes
from vosctl.relay.control.calls import End, Stream
from vosctl.relay.control.crypto_attr import NONE
from vosctl.relay.control.request import RefusalError
from vosctl.relay.control.sdp import Media
from vosctl.relay.control.values import replace

UDPTL = "udptl"
NAME = "T38"


def is_fax(media: Media) -> bool:
    """Tell whether the stream is T.38 over UDPTL; over RTP it is a stream like others."""
    return media.kind == "image" and media.protocol.lower() == UDPTL


def over_udptl(end: End) -> bool:
    """Tell whether what was last said to or by the end's party of the stream was UDPTL."""
    return end.protocol.lower() == UDPTL


def runs(end: End) -> bool:
    """Tell whether the end's media is UDPTL: sound that a fax is to follow goes on until that is answered."""
    return over_udptl(end) and not end.codecs


def refuse_encrypted(parties: Iterable[Tuple[str, str]]) -> None:
    """Raise ``RefusalError`` where a fax would cross an encrypted trunk in the clear, by names and encryption modes."""
    for name, mode in parties:
        if mode != NONE:
            raise RefusalError(
                f"m=image udptl: trunk `{name}` is {mode} here, and a fax cannot be encrypted: send it as G.711"
            )


def offered(media: Media, old: Stream, side: int, sender: End) -> Stream:
    """Return the stream after an offer of a fax from ``side``, whose end is ``sender`` by its description."""
    sender = replace(sender, codecs=old.ends[side].codecs)
    receiver = replace(old.ends[1 - side], direction="sendrecv", protocol=media.protocol)
    return Stream(media.kind, open=old.open).with_end(side, sender).with_end(1 - side, receiver)


def answered(old: Stream, side: int, sender: End) -> Stream:
    """Return the stream after its answer from ``side``: nothing of it is RTP's any more."""
    fresh = replace(old, rejected=False).with_end(side, _bare(sender))
    return fresh.with_end(1 - side, _bare(old.ends[1 - side]))


def _bare(end: End) -> End:
    return replace(sdes.cleared(end), pts=(), codecs={}, wants_mux=False, mux_reply="", mux=False, said=None)
