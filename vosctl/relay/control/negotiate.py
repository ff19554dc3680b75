"""Offer and answer (RFC 3264) as pure steps: a branch and a description in, the branch after it out."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple

from vosctl.relay.control import crypto_attr, fax, sdes, sdp, wishes
from vosctl.relay.control.calls import Branch, End, Party, Stream
from vosctl.relay.control.config import Config
from vosctl.relay.control.crypto_attr import PLAIN, CryptoError, Transform
from vosctl.relay.control.learning import far_end
from vosctl.relay.control.peers import KEY_LENGTHS, Peer
from vosctl.relay.control.request import RefusalError, Request
from vosctl.relay.control.rewrite import REJECTED, Outgoing, write
from vosctl.relay.control.values import replace


class Step(NamedTuple):
    """A request about ``branch`` whose description comes from the party of ``side``."""

    config: Config
    request: Request
    branch: Branch
    side: int

    def peer(self, side: int) -> Optional[Peer]:
        """Return the gateway or trunk at ``side``, when it has a name that the configuration knows."""
        return self.config.peers.get(self.branch.parties[side].name)

    def encryption(self, side: int) -> Tuple[str, str]:
        """Return the name of the gateway or trunk at ``side`` and its encryption mode."""
        peer = self.peer(side)
        return self.branch.parties[side].name, crypto_attr.NONE if peer is None else peer.mode


def read_sdp(request: Request) -> sdp.Description:
    """Return the description in the request. Raises ``RefusalError``."""
    if not request.sdp.strip():
        raise RefusalError("Failed to parse SDP")
    try:
        return sdp.parse(request.sdp)
    except sdp.SdpError as error:
        raise RefusalError(f"Failed to parse SDP: {error}") from None


def offer(step: Step, description: sdp.Description) -> Branch:
    """Return the branch after an offer. Raises ``RefusalError``."""
    branch = step.branch
    wishes.refuse_undone(step.request)
    streams: List[Stream] = []
    for index, media in enumerate(description.media):
        old = branch.streams[index] if index < len(branch.streams) else Stream(media.kind)
        if not media.rejected and fax.is_fax(media):
            fax.refuse_encrypted(step.encryption(side) for side in (0, 1))
            streams.append(fax.offered(media, old, step.side, _heard(step, media, old.ends[step.side])))
        elif media.rejected or not media.is_rtp:
            streams.append(_rejected(old))
        else:
            streams.append(_offered(step, media, old))
    if streams and all(s.rejected for s in streams) and not all(m.rejected for m in description.media):
        kinds = ", ".join(sorted({f"{m.kind} {m.protocol}" for m in description.media if not m.rejected}))
        raise RefusalError(f"No stream that this relay can carry: {kinds}")
    streams.extend(_rejected(old) for old in branch.streams[len(streams) :])
    return replace(branch, streams=tuple(streams))


def answer(step: Step, description: sdp.Description) -> Branch:
    """Return the branch after an answer. Raises ``RefusalError``."""
    branch = step.branch
    wishes.refuse_undone(step.request)
    streams: List[Stream] = []
    for index, old in enumerate(branch.streams):
        media = description.media[index] if index < len(description.media) else None
        if old.rejected or media is None or media.rejected or not _fits(media, old.ends[step.side]):
            streams.append(_rejected(old))
        elif fax.is_fax(media):
            streams.append(fax.answered(old, step.side, _heard(step, media, old.ends[step.side])))
        else:
            streams.append(_answered(step, media, old))
    return replace(branch, streams=tuple(streams), answered=True)


def describe(
    request: Request, description: sdp.Description, branch: Branch, to_side: int, *, answering: bool
) -> str:
    """Return the SDP for the party ``to_side``: ``description`` with the relay in the place of its sender."""
    party = branch.parties[to_side]
    # An offer of multiplexing names the port for RTCP that holds without it, unless it must not be without.
    one_port = answering or "require" in request.words("rtcp-mux")
    return write(
        description,
        request.advertised or party.advertised or party.address,
        [
            _outgoing(branch, index, to_side, answering=answering, one_port=one_port)
            for index in range(len(description.media))
        ],
        replace_origin="origin" in request.replace,
        rtcp_attribute="no-rtcp-attribute" not in request.flags,
    )


def _outgoing(branch: Branch, index: int, to_side: int, *, answering: bool, one_port: bool) -> Outgoing:
    if index >= len(branch.streams) or branch.streams[index].rejected:
        return REJECTED
    stream = branch.streams[index]
    end, other = stream.ends[to_side], stream.ends[1 - to_side]
    if end.local is None:
        return REJECTED
    rtp, rtcp = end.local
    mux = end.mux if answering else end.wants_mux
    return Outgoing(
        port=rtp,
        rtcp_port=rtp if one_port and mux else rtcp,
        mux=mux,
        direction=other.direction,
        protocol=end.protocol,
        crypto=end.said,
        sdes=sdes.lines(end, answering=answering) if sdes.ends_here(stream) else None,
    )


def _fits(media: sdp.Media, offered: End) -> bool:
    """Tell whether an answer's stream is of the kind that was offered to the party of ``offered``."""
    return fax.is_fax(media) if fax.over_udptl(offered) else media.is_rtp


def _rejected(old: Stream) -> Stream:
    first, second = (replace(end, direction="inactive") for end in old.ends)
    return replace(old, rejected=True, ends=(first, second))


def _offered(step: Step, media: sdp.Media, old: Stream) -> Stream:
    side = step.side
    pts = tuple(media.codecs)
    mux = step.request.words("rtcp-mux")
    sender = _heard(step, media, old.ends[side])
    protocol = _protocol(step, media, old)
    secure = sdes.is_secure(media.protocol)
    through = (
        secure and protocol == media.protocol and not sdes.usable(media) and not _is_srtp(step.peer(side))
    )
    if secure and not through:
        sender = sdes.offered_by(media, sender, answered=step.branch.answered and old.open)
    else:
        sender = _keyed(step, media, sdes.cleared(sender), opened=old.open)
    sender = replace(
        sender,
        pts=sender.pts or pts,
        wants_mux=media.rtcp_mux,
        mux_reply="accept" if mux & {"accept", "demux"} else "reject" if "reject" in mux else "",
    )
    receiver = old.ends[1 - side]
    receiver = replace(
        receiver,
        direction="sendrecv",
        protocol=protocol,
        pts=tuple(sorted({*receiver.pts, *pts})),
        wants_mux=bool(mux & {"offer", "require"}) or (media.rtcp_mux and "demux" not in mux),
    )
    if sdes.is_secure(protocol) and not through:
        receiver = sdes.offering(receiver, wishes.suites(step.request, frozenset(sdes.SUITES)))
    else:
        receiver = _sealed(replace(receiver, offers=()), step.peer(1 - side))
    return Stream(media.kind, open=old.open).with_end(side, sender).with_end(1 - side, receiver)


def _answered(step: Step, media: sdp.Media, old: Stream) -> Stream:
    side = step.side
    offerer = old.ends[1 - side]
    answerer = old.ends[side]
    mux = step.request.words("rtcp-mux")
    both = media.rtcp_mux and answerer.wants_mux
    policy = "accept" if mux & {"accept", "demux"} else "reject" if "reject" in mux else offerer.mux_reply
    from_offerer, from_answerer = sdp.negotiated(offerer.codecs, media.codecs)
    answerer = _heard(step, media, answerer)
    if answerer.offers:
        answerer = sdes.answered_by(media, answerer)
    else:
        answerer = _keyed(step, media, sdes.cleared(answerer), opened=step.branch.answered and old.open)
    answerer = replace(answerer, mux=both, pts=from_answerer)
    offerer = replace(
        offerer,
        mux=offerer.wants_mux and (policy == "accept" or (policy != "reject" and both)),
        pts=from_offerer,
    )
    offerer = _sealed(sdes.completed(offerer), step.peer(1 - side))
    return replace(old, rejected=False).with_end(side, answerer).with_end(1 - side, offerer)


def _is_srtp(peer: Optional[Peer]) -> bool:
    return peer is not None and peer.mode == sdes.SRTP


def _protocol(step: Step, media: sdp.Media, old: Stream) -> str:
    """Return the transport protocol to offer.

    A trunk's encryption is the site's word and stronger than the proxy's; of itself a trunk's SRTP ends
    at the relay. A call keeps what it began with. DTLS-SRTP can be passed on, not made or ended.
    """
    offered = media.protocol
    sender, receiver = step.peer(step.side), step.peer(1 - step.side)
    keyed = media.crypto is not None or (old.open and old.ends[step.side].rx.mode in KEY_LENGTHS)
    plain = sdes.secured(offered, secure=False) == offered and "TLS" not in offered.upper()
    if _is_srtp(sender) and plain and not keyed:
        raise RefusalError(
            f"trunk `{step.branch.parties[step.side].name}` is srtp here, the peer offers {offered}"
        )
    wanted = step.request.text("transport-protocol").upper()
    tls = "TLS" in offered.upper()
    if wanted and (
        wanted not in sdp.RTP_PROTOCOLS
        or ("TLS" in wanted) != tls
        or (tls and wanted.rstrip("F") != offered.upper().rstrip("F"))
    ):
        raise RefusalError(f"transport-protocol: {offered} cannot be turned into {wanted[:40]}")
    protocol = offered if wanted in {"", offered.upper()} else wanted
    if receiver is not None and receiver.is_trunk and receiver.mode != crypto_attr.NONE:
        kept = old.ends[1 - step.side].tx.mode if old.open else crypto_attr.NONE
        return sdes.secured(
            protocol, secure=_is_srtp(receiver) if kept == crypto_attr.NONE else kept == sdes.SRTP
        )
    sealed = sender is not None and sender.is_trunk and sender.mode != crypto_attr.NONE
    return sdes.secured(protocol, secure=False) if sealed and not wanted else protocol


def _heard(step: Step, media: sdp.Media, old: End) -> End:
    """Return the end with the sender's address, direction and codecs taken from its description."""
    direction = media.direction
    if media.held:
        # The old way to hold (RFC 3264 §8.4): it goes on sending and wants nothing, from where it was before.
        direction = {"sendrecv": "sendonly", "recvonly": "inactive"}.get(direction, direction)
        return replace(old, direction=direction, codecs=media.codecs, protocol=media.protocol)
    remote, rtcp, learn, source = far_end(media, step.request, step.peer(step.side))
    return replace(
        old,
        remote=remote,
        rtcp=rtcp,
        learn=learn,
        source=source,
        direction=direction,
        codecs=media.codecs,
        protocol=media.protocol,
    )


def _keyed(step: Step, media: sdp.Media, end: End, *, opened: bool) -> End:
    """Return the end with the key that its party's media comes with, and the one that it is to get."""
    peer = step.peer(step.side)
    mode = crypto_attr.NONE if peer is None or _is_srtp(peer) else peer.mode
    if media.crypto is None:
        if opened and end.rx.encrypts:
            return end
        rx = PLAIN if peer is None or mode == crypto_attr.NONE else Transform(mode, peer.key)
        # Who signals nothing has not read our salt either.
        tx = end.tx._replace(salt=crypto_attr.ZERO_SALT) if end.tx.encrypts else rx
        return replace(end, rx=rx, tx=tx, said=end.said or tx)
    rx = _accepted(media.crypto, end, step.branch.parties[step.side], peer)
    tx = end.said or end.tx
    if not tx.encrypts and mode != crypto_attr.NONE and peer is not None:
        tx = crypto_attr.fresh(mode, peer.key)
    elif not tx.encrypts and rx.encrypts:  # to a trunk that is srtp now, in a call as it was before
        tx = crypto_attr.fresh(rx.mode, rx.kid)
    return replace(end, rx=rx, tx=tx, said=tx)


def _accepted(text: str, end: End, party: Party, peer: Optional[Peer]) -> Transform:
    where = (
        f"trunk `{party.name}`" if peer is not None and peer.is_trunk else f"`{party.name or 'the sender'}`"
    )
    try:
        signalled = crypto_attr.parse(text)
    except CryptoError as error:
        raise RefusalError(f"vos-crypto: {where}: {error}") from None
    plain = peer is None or peer.mode == crypto_attr.NONE
    if signalled[:2] == end.rx[:2] and (end.rx.encrypts or plain):
        return signalled
    if peer is None or not peer.is_trunk:
        raise RefusalError(
            f"vos-crypto: the peer signals {signalled.mode}, but {where} is no trunk of this relay"
        )
    mode = peer.mode_of(signalled.kid)
    if signalled.mode != mode:
        raise RefusalError(f"vos-crypto: {where} is {mode} here, the peer signals {signalled.mode}")
    if signalled.kid not in peer.accept:
        known = ", ".join(peer.accept)
        raise RefusalError(f"vos-crypto: {where}: key `{signalled.kid}` is not accepted here ({known})")
    return signalled


def _sealed(end: End, peer: Optional[Peer]) -> End:
    """Return the end with a key of its own for what its party is to get, unless it has one since before."""
    if end.tx.encrypts or peer is None or _is_srtp(peer) or peer.mode == crypto_attr.NONE:
        return end
    tx = crypto_attr.fresh(peer.mode, peer.key)
    return replace(end, tx=tx, said=tx)
