"""The line to the media process: requests of many calls under way at once, on a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from vosctl.relay.control import media
from vosctl.relay.control.media import MediaClient, MediaDownError, MediaError

Talk = Callable[[MediaClient], Awaitable[None]]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def converse(tmp_path: Path, serve: Serve, talk: Talk) -> None:
    """Have ``talk`` ask a media process that answers by ``serve``."""

    async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer)
        await writer.drain()
        await reader.read()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_unix_server(serve_and_close, str(tmp_path / "s"))
        client = MediaClient(tmp_path / "s", prepare=lambda: asyncio.sleep(0), event=lambda _: None)
        running = asyncio.ensure_future(client.run())
        await asyncio.wait_for(client.ready.wait(), 5)
        await talk(client)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        server.close()
        await asyncio.sleep(0.05)

    asyncio.run(asyncio.wait_for(run(), 20))


def reply(writer: asyncio.StreamWriter, **fields: object) -> None:
    writer.write(json.dumps(fields).encode() + b"\n")


def test_what_is_asked_in_one_turn_leaves_together_and_answers_are_matched_by_number(tmp_path):
    reads = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read(65536)
        reads.append(data.count(b"\n"))
        asked = [json.loads(line) for line in data.splitlines()]
        for one in reversed(asked):
            if one["call"] == "7":
                reply(writer, id=one["id"], ok=False, error="Ran out of ports")
            else:
                reply(writer, id=one["id"], ok=True, said=one["call"])

    async def talk(client: MediaClient) -> None:
        asked = [client.request("add", call=str(number)) for number in range(20)]
        told = await asyncio.gather(*asked, return_exceptions=True)
        assert [one["said"] for at, one in enumerate(told) if at != 7] == [
            str(n) for n in range(20) if n != 7
        ]
        assert type(told[7]) is MediaError
        assert str(told[7]) == "Ran out of ports"

    converse(tmp_path, serve, talk)
    assert reads == [20]


def test_a_request_that_is_never_answered_fails_and_holds_up_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(media, "REPLY_TIMEOUT", 0.2)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            asked = json.loads(line)
            if asked["cmd"] != "lost":
                reply(writer, id=asked["id"], ok=True)

    async def talk(client: MediaClient) -> None:
        lost = asyncio.ensure_future(client.request("lost"))
        assert (await client.request("found"))["ok"]
        with pytest.raises(MediaDownError, match="does not answer"):
            await lost
        assert (await client.request("found"))["ok"]
        assert not client._waiting

    converse(tmp_path, serve, talk)


def test_all_that_wait_are_told_when_media_goes_away(tmp_path):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readline():
            writer.close()

    async def talk(client: MediaClient) -> None:
        told = await asyncio.gather(*(client.request("add") for _ in range(5)), return_exceptions=True)
        assert {type(one) for one in told} == {MediaDownError}
        assert not client._waiting

    converse(tmp_path, serve, talk)


def test_nobody_asks_before_media_is_set_up_and_one_that_goes_in_between_is_told_at_once(
    tmp_path, monkeypatch
):
    """The first connection is taken and closed without a word, as by a process that is being killed."""
    monkeypatch.setattr(media, "REPLY_TIMEOUT", 60.0)
    heard: list[list[str]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append([])
        while line := await reader.readline():
            asked = json.loads(line)
            heard[-1].append(asked["cmd"])
            if len(heard) == 1:
                break
            again.set()
            await asyncio.sleep(0.05)
            reply(writer, id=asked["id"], ok=True)
        writer.close()

    again = asyncio.Event()

    async def run() -> None:
        server = await asyncio.start_unix_server(serve, str(tmp_path / "s"))

        async def prepare() -> None:
            await client.request("configure")
            await asyncio.gather(client.request("restore"), client.request("restore"))

        client = MediaClient(tmp_path / "s", prepare=prepare, event=lambda _: None)
        running = asyncio.ensure_future(client.run())
        await again.wait()
        await asyncio.gather(*(client.request("add") for _ in range(3)))
        assert client.ready.is_set()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        server.close()
        await asyncio.sleep(0.05)

    asyncio.run(asyncio.wait_for(run(), 10))
    assert heard == [["configure"], ["configure", "restore", "restore", "add", "add", "add"]]
