"""NG commands beyond relaying: recording, blocks and silence, digits and sound of the relay's own."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Awaitable, Callable, Dict, List, Mapping, Optional, Tuple

from vosctl.relay.control import wav
from vosctl.relay.control.calls import Branch, Calls, End
from vosctl.relay.control.legs import SIDES
from vosctl.relay.control.media import MediaClient
from vosctl.relay.control.request import RefusalError, Request
from vosctl.relay.control.values import replace

LOG = logging.getLogger(__name__)

Reply = Dict[str, Any]
Settle = Callable[[Optional[Branch], Branch], Awaitable[Branch]]
UNKNOWN_CALL = "Unknown call-id"
MAX_DIGITS = 64
MAX_TONE_SECONDS = 60
MAX_REPEAT = 1000
MAX_READERS = 2
_MS = wav.RATE // 1000  # samples, or ticks of the RTP clock, a millisecond
_BARS = {
    "block-media": ("media", True),
    "unblock-media": ("media", False),
    "silence-media": ("silence", True),
    "unsilence-media": ("silence", False),
    "block-dtmf": ("dtmf", True),
    "unblock-dtmf": ("dtmf", False),
}


class Features:
    """The commands by their names, in ``table``; ``folder`` gives the folder of recordings, empty where none may be."""

    def __init__(self, calls: Calls, media: MediaClient, settle: Settle, folder: Callable[[], str]) -> None:
        self._calls = calls
        self._media = media
        self._settle = settle
        self._folder = folder
        # A WAV of the most bytes takes some 200 MB while it is read: so many at a time, and no more.
        self._readers = ThreadPoolExecutor(MAX_READERS, thread_name_prefix="wav")
        self.table: Dict[str, Callable[[Request], Awaitable[Reply]]] = {
            **{name: partial(self._bar, word=word, on=on) for name, (word, on) in _BARS.items()},
            "start-recording": self._start_recording,
            "stop-recording": self._stop_recording,
            "play-media": self._play_media,
            "stop-media": self._stop_media,
            "play-dtmf": self._play_dtmf,
            "start-forwarding": self._no_forwarding,
            "stop-forwarding": self._no_forwarding,
        }

    def _branches(self, request: Request) -> Tuple[Branch, ...]:
        branches = self._calls.of(request.call_id)
        if not branches:
            raise RefusalError(UNKNOWN_CALL)
        return branches

    def _chosen(self, request: Request) -> List[Tuple[Branch, int]]:
        """Return the parties that are meant: of label, address or from-tag, else those of the whole call."""
        every = [(branch, side) for branch in self._branches(request) for side in (0, 1)]
        if "all" in request.flags:
            return every
        address, label = request.text("address"), request.text("label")
        if label:
            every = [(b, s) for b, s in every if b.parties[s].label == label]
        elif address:
            every = [(b, s) for b, s in every if any(_host(x.ends[s]) == address for x in b.streams)]
        elif request.from_tag:
            every = [(b, s) for b, s in every if b.parties[s].has(request.from_tag)]
        if not every:
            raise RefusalError("No party with this tag, address or label in the call")
        return every

    async def _bar(self, request: Request, *, word: str, on: bool) -> Reply:
        for number in {branch.number for branch, _ in self._chosen(request)}:
            old = next(b for b in self._branches(request) if b.number == number)
            branch = old
            for side in [side for chosen, side in self._chosen(request) if chosen.number == number]:
                party = branch.parties[side]
                bars = {*party.bars, word} if on else {*party.bars} - {word}
                branch = branch.with_party(side, replace(party, bars=tuple(sorted(bars))))
            await self._settle(old, branch)
        return {"result": "ok"}

    async def _start_recording(self, request: Request) -> Reply:
        folder = self._folder()
        if not folder:
            raise RefusalError(
                "start recording: no folder for it: set `recordings` in the relay's configuration"
            )
        for branch in self._branches(request):
            if branch.recording or not any(stream.open for stream in branch.streams):
                continue
            name = urllib.parse.quote(request.call_id, safe="@")[:100]
            path = os.path.join(folder, f"{name}-{os.urandom(4).hex()}.pcap")  # noqa: PTH118 - no pathlib needed
            await self._media.request("record", call=branch.media_id, path=path)
            LOG.info("call %s: recorded into %s", ascii(request.call_id[:80])[1:-1], path)
            await self._settle(branch, replace(branch, recording=path))
        return {"result": "ok"}

    async def _stop_recording(self, request: Request) -> Reply:
        for branch in self._branches(request):
            if branch.recording:
                await self._media.request("record", call=branch.media_id, path=None)
                await self._settle(branch, replace(branch, recording=""))
        return {"result": "ok"}

    async def _play_media(self, request: Request) -> Reply:
        repeat = _number(request, "repeat-times", 1, 1, MAX_REPEAT)
        duration = 0
        for branch, side in self._chosen(request):
            found = _g711(branch, side)
            if found is None:
                if _names_party(request):
                    raise RefusalError("play media: the party takes neither PCMA nor PCMU")
                continue
            stream, number, law = found
            sound = await self._sound(request.values, law)
            duration = len(sound) // _MS
            await self._media.request(
                "play", call=branch.media_id, stream=stream, side=SIDES[side], pt=number, repeat=repeat,
                sound=base64.b64encode(sound).decode(),
            )  # fmt: skip
        if not duration:
            raise RefusalError("play media: no party takes PCMA or PCMU")
        return {"result": "ok", "duration": duration * repeat}

    async def _sound(self, values: Mapping[str, Any], law: str) -> bytes:
        path, blob = values.get("file"), values.get("blob")
        run = asyncio.get_running_loop().run_in_executor
        try:
            if isinstance(path, str) and path:
                return await run(self._readers, wav.load, path, law)
            if isinstance(blob, (str, bytes)) and blob:
                data = blob if isinstance(blob, bytes) else blob.encode("utf-8", "surrogateescape")
                return await run(self._readers, wav.convert, data, law)
        except wav.WavError as error:
            raise RefusalError(f"play media: {error}") from None
        raise RefusalError("play media: no file and no blob in message")

    async def _stop_media(self, request: Request) -> Reply:
        for branch, side in self._chosen(request):
            for number, stream in enumerate(branch.streams):
                if stream.open and not stream.rejected:
                    await self._media.request("play", call=branch.media_id, stream=number, side=SIDES[side])
        return {"result": "ok"}

    async def _play_dtmf(self, request: Request) -> Reply:
        if not _names_party(request):
            raise RefusalError("play DTMF: no from-tag, address or label says who dials")
        digits = _digits(request)
        for branch, side in self._chosen(request):
            await self._dial(branch, side, digits)
        return {"result": "ok"}

    async def _dial(self, branch: Branch, side: int, digits: List[Tuple[int, int, int, int]]) -> None:
        for number, stream in enumerate(branch.streams):
            types = _events(stream.ends[1 - side])
            if stream.open and not stream.rejected and types:
                await self._media.request(
                    "dial", call=branch.media_id, stream=number, side=SIDES[side], pt=types[0], digits=digits
                )
                return
        found = _g711(branch, 1 - side)
        if found is None:
            raise RefusalError("play DTMF: the other party takes neither telephone-event nor G.711")
        if sum(duration + pause for _, _, duration, pause in digits) > MAX_TONE_SECONDS * wav.RATE:
            raise RefusalError(f"play DTMF: more than {MAX_TONE_SECONDS} s of tones")
        number, pt, law = found
        sound = base64.b64encode(wav.tones(digits, law)).decode()
        await self._media.request(
            "dial", call=branch.media_id, stream=number, side=SIDES[side], pt=pt, sound=sound
        )

    async def _no_forwarding(self, request: Request) -> Reply:
        raise RefusalError(f"{request.command}: this relay forwards to nobody but the call's own parties")


def _names_party(request: Request) -> bool:
    return bool(request.from_tag or request.text("address") or request.text("label"))


def _host(end: End) -> str:
    return end.remote[0] if end.remote else ""


def _events(end: End) -> List[int]:
    return [number for number, name in end.codecs.items() if name.startswith("telephone-event/8000")]


def _g711(branch: Branch, side: int) -> Optional[Tuple[int, int, str]]:
    """Return the stream, payload type and law in which the party of ``side`` can hear G.711."""
    for at, stream in enumerate(branch.streams):
        for number, name in stream.ends[side].codecs.items():
            law, _, rate = name.partition("/")
            if stream.open and not stream.rejected and law in wav.LAWS and rate in {"8000", "8000/1"}:
                return at, number, law
    return None


def _number(request: Request, name: str, default: int, low: int, high: int) -> int:
    text = request.text(name)
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        raise RefusalError(f"{name}: not a number") from None
    if not low <= value <= high:
        raise RefusalError(f"{name}: must be {low} to {high}")
    return value


def _digits(request: Request) -> List[Tuple[int, int, int, int]]:
    """Return ``(code, -dBm0, duration, pause)`` of ``digits``, or of the one in ``code``; times in samples."""
    text = (request.text("digits") or request.text("code") or request.text("digit")).upper()
    if not request.text("digits") and text.isdecimal() and text.isascii() and int(text) < len(wav.DIGITS):
        codes = [int(text)]
    else:
        codes = [wav.DIGITS.find(digit) for digit in text[: MAX_DIGITS + 1]]
    if not codes or len(codes) > MAX_DIGITS or -1 in codes:
        raise RefusalError(f"play DTMF: code: must be 0 to 15, or up to {MAX_DIGITS} of {wav.DIGITS}")
    volume = abs(_number(request, "volume", 8, -63, 63))
    duration = _number(request, "duration", 250, 100, 5000) * _MS
    pause = _number(request, "pause", 100, 100, 5000) * _MS
    return [(code, volume, duration, pause) for code in codes]
