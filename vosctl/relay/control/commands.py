"""What each NG command does: offer, answer, delete, query and ping, one at a time for each call-id."""

from __future__ import annotations

import logging
import time
from typing import Any, Awaitable, Callable, Dict, List, Optional, Tuple

from vosctl.relay.control import (
    admission,
    interfaces,
    jitter,
    legs,
    negotiate,
    offered,
    proxying,
    report,
    sdp,
)
from vosctl.relay.control.admission import Admission, Deadlines, LimitReachedError
from vosctl.relay.control.calls import Branch, Calls, Party
from vosctl.relay.control.config import Config
from vosctl.relay.control.features import Features
from vosctl.relay.control.guesses import Guesses
from vosctl.relay.control.locks import Locks
from vosctl.relay.control.media import MediaClient, MediaDownError, MediaError
from vosctl.relay.control.negotiate import Step
from vosctl.relay.control.peers import Peer
from vosctl.relay.control.quality import Samples
from vosctl.relay.control.request import LoadLimitError, RefusalError, Request, normal, read
from vosctl.relay.control.tally import Tally
from vosctl.relay.control.values import replace

LOG = logging.getLogger(__name__)

Reply = Dict[str, Any]
UNKNOWN_CALL = "Unknown call-id"
NOT_FOUND = "Call-ID not found or tags didn't match"
RING_SECONDS = 300
HOLD_SECONDS = 3600
BYPASS_SECONDS = 86400
# On these words, and on no others, a proxy that knows no load limit tries its next relay.
PARALLEL_LIMIT = "Parallel session limit reached"


class Commands:
    """The state of the relay's signalling: ``config``, ``calls``, and the NG commands that change them."""

    def __init__(self, config: Config, media: MediaClient) -> None:
        self.config = config
        self.calls = Calls()
        self.tally = Tally()
        self.samples = Samples()
        self.deadlines = Deadlines()
        self.admission = Admission(self.calls)
        self._media = media
        self._alone = Locks()
        self.guesses = Guesses(self.calls, self._alone, self._settle, lambda: self.config)
        self._table: Dict[str, Callable[[Request], Awaitable[Reply]]] = {
            "offer": self._offer,
            "answer": self._answer,
            "delete": self._delete,
            "query": self._query,
            **Features(self.calls, media, self._settle, lambda: self.config.recordings).table,
        }

    async def handle(self, message: Any) -> Reply:
        """Return the reply to a decoded NG message; whatever is wrong with it becomes an error reply."""
        if not isinstance(message, dict):
            return _error("Invalid NG data format")
        try:
            return await self._run(message)
        except LoadLimitError as error:
            LOG.warning("call %s: load limit: %s", _short(message.get("call-id")), error)
            return {"result": "load limit", "message": str(error)}
        except (RefusalError, MediaError) as error:
            call = _short(message.get("call-id"))
            LOG.warning("call %s: %s refused: %s", call, _short(message.get("command")), error)
            return _error(str(error))

    async def _run(self, message: Dict[str, Any]) -> Reply:
        command = normal(str(message.get("command", "")))
        if command == "ping":
            return {"result": "pong"}
        if command not in self._table:
            raise RefusalError("Unrecognized command")
        request = read(message)
        if not request.call_id:
            raise RefusalError("No call-id in message")
        async with self._alone(request.call_id):
            return await self._table[command](request)

    async def _offer(self, request: Request) -> Reply:
        if not request.from_tag:
            raise RefusalError("No from-tag in message")
        description = negotiate.read_sdp(request)
        found = self.calls.offered(request)
        if found is not None:
            old, side = found
            return await self._place(old, offered.bound(old, request, side), side, request, description)
        branch = self._begin(request)
        try:
            with self.admission.entering(self.config, branch):
                reply = await self._place(None, branch, 0, request, description)
        except LimitReachedError as error:
            self.tally.refuse(branch, error.which)
            if "load-limit" in request.words("supports"):
                raise
            LOG.warning("call %s: %s", _short(request.call_id), error)
            raise RefusalError(PARALLEL_LIMIT) from None
        self.tally.begin(branch)
        LOG.info("call %s: began, %s", _short(request.call_id), _parties(branch))
        return reply

    async def _place(
        self,
        old: Optional[Branch],
        branch: Branch,
        side: int,
        request: Request,
        description: sdp.Description,
    ) -> Reply:
        """Bring the branch to what its offer asks for: media relayed, or the description left as it is."""
        if old is None or old.bypass:
            peers = self._peers(branch, side)
            if not proxying.carries(self.config, request, description, peers):
                await self._keep(replace(branch, bypass=True))
                return {"result": "ok", "sdp": request.sdp}
            branch = offered.at(branch, side, interfaces.places(self.config, request, description, peers))
        if not self._media.ready.is_set() and old is None and "load-limit" in request.words("supports"):
            raise LoadLimitError("the media process is not running")
        after = negotiate.offer(Step(self.config, request, branch, side), description)
        after = await self._settle(old, after)
        return {
            "result": "ok",
            "sdp": negotiate.describe(request, description, after, 1 - side, answering=False),
        }

    async def _answer(self, request: Request) -> Reply:
        for tag, name in ((request.from_tag, "from-tag"), (request.to_tag, "to-tag")):
            if not tag:
                raise RefusalError(f"No {name} in message")
        if not self.calls.of(request.call_id):
            raise RefusalError(UNKNOWN_CALL)
        description = negotiate.read_sdp(request)
        found = self.calls.answered(request)
        if found is None:
            raise RefusalError("No offer with these tags")
        old, side = found
        party = old.parties[side].tagged(request.to_tag)
        name = party.name or self._name(request, "vos-to", request.source)
        label = request.text("label") or party.label
        party = replace(party, name=name, source=request.source or party.source, label=label)
        parties = (party, old.parties[1]) if side == 0 else (old.parties[0], party)
        branch = replace(old, parties=parties, since=old.since or time.time())
        if old.bypass:
            await self._keep(replace(branch, answered=True))
            return {"result": "ok", "sdp": request.sdp}
        after = negotiate.answer(Step(self.config, request, branch, side), description)
        after = await self._settle(old, after)
        text = negotiate.describe(request, description, after, 1 - side, answering=True)
        return {"result": "ok", "sdp": text}

    async def _delete(self, request: Request) -> Reply:
        branches = self.calls.deleted(request)
        if not branches:
            if "fatal" in request.flags:
                raise RefusalError(NOT_FOUND)
            return {"result": "ok", "warning": NOT_FOUND}
        counted = [await self._remove(branch, "deleted") for branch in branches]
        return {"result": "ok", **report.totals(branches, counted, self.samples)}

    async def _query(self, request: Request) -> Reply:
        branches = self.calls.of(request.call_id)
        if not branches:
            raise RefusalError(UNKNOWN_CALL)
        counted = [await self.counted(branch) for branch in branches]
        return {"result": "ok", **report.totals(branches, counted, self.samples)}

    def _peers(self, branch: Branch, side: int) -> Tuple[Optional[Peer], Optional[Peer]]:
        """Return the gateways or trunks of the offerer, who is at ``side``, and of the answerer."""
        found = [self.config.peers.get(branch.parties[at].name) for at in (side, 1 - side)]
        return found[0], found[1]

    def _put(self, branch: Branch) -> None:
        known = self.calls.put(branch)
        if known is None or known.since != branch.since:
            self.deadlines.add(self.config, branch)

    def _begin(self, request: Request) -> Branch:
        names = self._name(request, "vos-from", request.source), self._name(request, "vos-to", None)
        peer = self.config.find(request.source) if request.source else None
        if peer is not None and peer.name == names[1] != names[0]:
            # An offer in a reply (RFC 3261 §13.2.1): the script's words are about the request.
            names = names[1], names[0]
        now = time.time()
        return Branch(
            call_id=request.call_id,
            number=self.calls.free_number(request.call_id),
            via=request.via_branch,
            parties=(
                Party(request.from_tag, names[0], source=request.source or "", label=request.text("label")),
                Party(request.to_tag, names[1]),
            ),
            created=now,
            dscp=offered.dscp(request, self.config.dscp),
        )

    def _name(self, request: Request, key: str, address: Optional[str]) -> str:
        name = request.text(key)
        if name:
            if name not in self.config.peers:
                raise RefusalError(f"{key}: no gateway or trunk `{name[:64]}`")
            return name
        peer = self.config.find(address) if address else None
        return peer.name if peer is not None else ""

    async def _settle(self, old: Optional[Branch], new: Branch) -> Branch:
        """Bring media to ``new`` and keep it; on any failure media and calls are what they were."""
        commands = jitter.with_buffers(legs.commands(old, new), new, self.config.peers)
        done: List[legs.Command] = []
        branch = new
        try:
            for command in commands:
                done.append(command)
                reply = await self._media.request(
                    command.name, call=new.media_id, stream=command.stream, **command.fields
                )
                if command.name == "add":
                    branch = legs.with_ports(branch, command.stream, reply)
                elif command.name == "remove":
                    branch = self._ended(legs.without_ports(branch, command.stream), reply)
        except MediaError:
            await self._undo(old, new, done)
            raise
        self._put(branch)
        return branch

    async def _keep(self, branch: Branch) -> None:
        """Keep a branch of which media carries nothing; media holds its record, for a control that starts anew."""
        self._put(branch)
        try:
            await self._media.request("keep", call=branch.media_id, blob=branch.record())
        except MediaDownError:
            LOG.debug("call %s: media is away; it hears of the call when it is back", _short(branch.call_id))

    def _ended(self, branch: Branch, reply: Dict[str, Any]) -> Branch:
        """Return the branch with what its ended stream had counted."""
        counted = list((reply["counters"] or {}).get("streams", []))
        self.tally.add(branch, counted)
        return replace(branch, past=report.added(branch.past, counted))

    async def _undo(self, old: Optional[Branch], new: Branch, done: List[legs.Command]) -> None:
        try:
            if old is None:
                await self._media.request("remove", call=new.media_id)
                return
            for command in reversed(done):
                await self._take_back(command, old)
        except MediaDownError:
            LOG.warning("call %s: media went away before it was put back", _short(new.call_id))
        except MediaError as error:
            LOG.debug("call %s: nothing to put back: %s", _short(new.call_id), error)

    async def _take_back(self, command: legs.Command, old: Branch) -> None:
        if command.name == "add":
            await self._media.request("remove", call=old.media_id, stream=command.stream, blob=old.record())
            return
        if command.name == "remove":
            return
        await self._media.request(
            "change", call=old.media_id, stream=command.stream, **command.undo, blob=old.record()
        )

    async def counted(self, branch: Branch) -> report.Streams:
        """Return what media counts for each stream of ``branch``. Raises ``MediaError``."""
        if not any(stream.open for stream in branch.streams):
            return []
        reply = await self._media.request("stats", call=branch.media_id)
        return list(reply["calls"][0]["streams"])

    async def _remove(self, branch: Branch, why: str) -> report.Streams:
        """End the branch; ``why`` is ``deleted``, ``silent`` or ``duration``."""
        self.calls.drop(branch)
        self.tally.ended[why] += 1
        try:
            reply = await self._media.request("remove", call=branch.media_id)
        except MediaDownError as error:
            # The ports went with the process that held them.
            LOG.warning("call %s: ended without its counters: %s", _short(branch.call_id), error)
            return []
        LOG.info("call %s: ended after %d s", _short(branch.call_id), time.time() - branch.created)
        counted = list((reply["counters"] or {}).get("streams", []))
        self.tally.add(branch, counted)
        return counted

    async def restore(self, held: List[Dict[str, Any]]) -> None:
        """Take over the calls that media holds; what carries no readable record of ours is removed."""
        branches = {str(call.get("call")): legs.restored(call) for call in held}
        bypassing = [branch for branch in self.calls if branch.bypass and branch.media_id not in branches]
        self.calls.clear()
        for around in bypassing:
            await self._keep(around)
        for branch in branches.values():
            if branch is not None:
                self.calls.put(branch)
        for media_id in [name for name, branch in branches.items() if branch is None]:
            LOG.warning("media held call %s without a readable record; removed", _short(media_id))
            await self._media.request("remove", call=media_id)
        if held:
            LOG.info("took back %d calls from the media process", len(self.calls))
        self.deadlines.rebuild(self.config, self.calls)

    async def close_if_silent(self, media_id: str) -> None:
        """End the branch when nothing has come on any of its legs for as long as its state allows."""
        branch = self.calls.by_media_id(media_id)
        if branch is None:
            return
        async with self._alone(branch.call_id):
            branch = self.calls.by_media_id(media_id)
            if branch is None:
                return
            idle = report.idle_seconds(branch, await self.counted(branch))
            if idle >= self.patience(branch):
                LOG.warning("call %s: no media for %d s, closed", _short(branch.call_id), idle)
                await self._remove(branch, "silent")

    async def close_overdue(self) -> None:
        """End the calls that have lasted as long as their gateways, or the relay, let them."""
        while True:
            media_id = self.deadlines.due(time.time())
            if media_id is None:
                return
            branch = self.calls.by_media_id(media_id)
            if branch is None:
                continue
            async with self._alone(branch.call_id):
                branch = self.calls.by_media_id(media_id)
                if branch is None:
                    continue
                seconds, name = admission.longest(self.config, branch)
                if seconds and time.time() >= branch.since + seconds:
                    who = f"`{name}`" if name else "this relay"
                    call = _short(branch.call_id)
                    LOG.warning(
                        "call %s: the longest duration of %s, %d s, is over, closed", call, who, seconds
                    )
                    await self._remove(branch, "duration")

    def note(self, event: Dict[str, Any]) -> None:
        """Write to the log what an event means in the names of the site."""
        branch = self.calls.by_media_id(str(event.get("call")))
        kind, side, index = event.get("event"), event.get("side"), event.get("stream")
        if (
            branch is None
            or side not in legs.SIDES
            or not isinstance(index, int)
            or index >= len(branch.streams)
        ):
            return
        at = legs.SIDES.index(side)
        name, call = branch.parties[at].name or "unnamed", _short(branch.call_id)
        if kind == "key-mismatch":
            self.tally.mismatches[branch.parties[at].name] += 1
            rx = branch.streams[index].ends[at].rx
            LOG.warning(
                "call %s: suspected key mismatch from `%s`, %s with key `%s`", call, name, rx.mode, rx.kid
            )
        elif kind == "source-change":
            LOG.info("call %s: media of `%s` comes from %s now", call, name, event.get("remote"))

    def patience(self, branch: Branch) -> float:
        """Return for how many seconds a branch may be silent: long while it rings, is on hold or bypasses the relay."""
        if branch.bypass:
            return BYPASS_SECONDS
        if branch.held:
            return max(HOLD_SECONDS, self.config.rtp_timeout)
        return self.config.rtp_timeout if branch.answered else max(RING_SECONDS, self.config.rtp_timeout)


def _error(reason: str) -> Reply:
    return {"result": "error", "error-reason": reason}


def _short(value: Any) -> str:
    return ascii(str(value)[:80])[1:-1]


def _parties(branch: Branch) -> str:
    return " to ".join(party.name or "unnamed" for party in branch.parties)
