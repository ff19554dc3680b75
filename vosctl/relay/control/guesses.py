"""Finds the key of a stream whose sender signals none: where it turns out as noise, the trunk's other keys are tried."""

from __future__ import annotations

import logging
from typing import Any, Awaitable, Callable, Dict, Optional, Tuple

from vosctl.relay.control.calls import Branch, Calls
from vosctl.relay.control.config import Config
from vosctl.relay.control.crypto_attr import ZERO_SALT, Transform
from vosctl.relay.control.legs import SIDES
from vosctl.relay.control.locks import Locks
from vosctl.relay.control.media import MediaError
from vosctl.relay.control.peers import KEY_LENGTHS
from vosctl.relay.control.values import replace

LOG = logging.getLogger(__name__)

_MOST = 1024

Place = Tuple[str, int, int]


class Guesses:
    """Tries each key that a trunk accepts once for each stream, and comes back to the first where none fits.

    Only what is received is decrypted with another key. What is sent stays as it is: two relays that both
    followed the other would change places for ever. A sender that signals its key is taken at its word.
    """

    def __init__(
        self,
        calls: Calls,
        alone: Locks,
        settle: Callable[[Optional[Branch], Branch], Awaitable[Branch]],
        config: Callable[[], Config],
    ) -> None:
        self._calls = calls
        self._alone = alone
        self._settle = settle
        self._config = config
        self._tried: Dict[Place, Tuple[str, ...]] = {}

    async def suspected(self, event: Dict[str, Any]) -> None:
        """Take the next key for the stream of a ``key-mismatch`` event, if there is one to be tried."""
        media_id, side, index = str(event.get("call")), event.get("side"), event.get("stream")
        branch = self._calls.by_media_id(media_id)
        if branch is None or side not in SIDES or not isinstance(index, int):
            return
        place = media_id, index, SIDES.index(side)
        async with self._alone(branch.call_id):
            branch = self._calls.by_media_id(media_id)
            after = None if branch is None or index >= len(branch.streams) else self._after(branch, place)
            if after is None:
                return
            try:
                await self._settle(branch, after)
            except MediaError as error:
                LOG.debug("call %s: no other key is tried: %s", media_id, error)

    def _after(self, branch: Branch, place: Place) -> Optional[Branch]:
        """Return the branch with the next key for what comes from the party; None when there is none."""
        _, index, at = place
        stream, name = branch.streams[index], branch.parties[at].name
        end, peer = stream.ends[at], self._config().peers.get(name)
        if peer is None or not peer.is_trunk or end.rx.mode not in KEY_LENGTHS or end.rx.salt != ZERO_SALT:
            return None
        tried = self._tried.get(place, (end.rx.kid,))
        kid = next((kid for kid in peer.accept if kid not in tried), tried[0])
        if kid == end.rx.kid or kid not in peer.accept:
            return None
        self._forget_ended()
        self._tried[place] = (*tried, kid)
        rx = Transform(peer.mode_of(kid), kid)
        LOG.warning(
            "`%s` signals no key: what it sends is read with `%s` now, not `%s`", name, kid, end.rx.kid
        )
        streams = list(branch.streams)
        streams[index] = stream.with_end(at, replace(end, rx=rx))
        return replace(branch, streams=tuple(streams))

    def _forget_ended(self) -> None:
        if len(self._tried) >= _MOST:
            alive = {branch.media_id for branch in self._calls}
            self._tried = {place: kids for place, kids in self._tried.items() if place[0] in alive}
