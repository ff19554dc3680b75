"""Whole NG dialogues against the relay's control and media in this process, as a target of the text fuzzers.

A case looks like the golden files of ``tests/relay/control/sdp``: steps ``== command key=value…``, each with an SDP.
The relay listens on loopback addresses alone, and no step makes it send anything.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import tempfile
from pathlib import Path
from typing import Any

from vosctl.relay.control import config
from vosctl.relay.control.calls import MAX_ALIASES, MAX_BRANCHES
from vosctl.relay.control.commands import Commands
from vosctl.relay.control.media import MediaError
from vosctl.relay.control.sdp import MAX_MEDIA
from vosctl.relay.media import build
from vosctl.relay.media.commands import Commands as MediaCommands
from vosctl.relay.media.kernel import KernelPath
from vosctl.relay.media.plane import Plane

MARK = b"== "
MOST_STEPS = 8
WORDS = {
    b"offer", b"answer", b"delete", b"query", b"ping", b"block media", b"unblock media", b"silence media", b"block DTMF",
}  # fmt: skip
LISTS = {"flags", "replace", "rtcp-mux", "received-from", "direction", "supports"}
ADDRESS = "127.77.0.1"
CONFIG = {
    "version": 1, "node": "fuzz", "addresses": [ADDRESS, "::1"], "ng": [ADDRESS, 0], "ports": [20000, 20399], "proxy": "on",
    "gateways": {
        "acme": {"type": "mapping", "networks": ["198.51.100.0/24"], "learn": "any", "limits": {"concurrent": 3}},
        "vendor": {"type": "routing", "networks": ["203.0.113.0/24"], "proxy": "auto",
                   "jitter": {"mode": "adaptive", "min": 10, "max": 80, "start": 20}},
    },
    "trunks": {
        name: {"peer": "p", "addresses": [f"192.0.2.{at}"], "mode": mode, "key": "k", "accept": ["k"]}
        for at, (name, mode) in enumerate((("ab", "xor"), ("ta", "aes128"), ("ts", "srtp")))
    },
}  # fmt: skip


class Line:
    """The connection to media without the socket: what is said goes through JSON, as there."""

    def __init__(self) -> None:
        library = build.LIBRARY if build.fresh(build.LIBRARY) else build.compile(build.LIBRARY)
        plane = Plane(library)
        plane.start(workers=1, files=1024)
        self.media = MediaCommands(plane, workers=1, file_limit=1024, kernel=KernelPath(plane))
        self.media.run({"cmd": "keys", "keys": {"k": {"value": "Harbour4Station2"}}})
        self.media.run({"cmd": "configure", "ports": [20000, 20399], "addresses": [ADDRESS, "::1"]})
        self.ready = asyncio.Event()
        self.ready.set()

    async def request(self, command: str, **fields: Any) -> dict[str, Any]:
        reply = json.loads(json.dumps(self.media.run(json.loads(json.dumps({"cmd": command, **fields})))))
        if not reply["ok"]:
            raise MediaError(reply["error"])
        return reply


class Relay:
    """Control and media; ``run`` puts one dialogue to them and then ends every call."""

    def __init__(self) -> None:
        logging.disable(logging.CRITICAL)
        self.line = Line()
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / name for name in ("relay.json", "keys.json")]
            files[0].write_text(json.dumps(CONFIG))
            files[1].write_text(json.dumps({"version": 1, "keys": {"k": "Harbour4Station2"}}))
            files[1].chmod(0o600)
            self.config = config.load(*files)
        self.loop = asyncio.new_event_loop()

    def run(self, steps: list[dict[str, Any]]) -> None:
        self.loop.run_until_complete(self._run(steps))

    async def _run(self, steps: list[dict[str, Any]]) -> None:
        commands = Commands(self.config, self.line)
        for step in steps:
            reply = await commands.handle(step)
            assert reply["result"] in {"ok", "error", "load limit", "pong"}
            self._within_bounds(commands)
        for call_id in {branch.call_id for branch in commands.calls}:
            await commands.handle({"command": "delete", "call-id": call_id})
        assert not list(commands.calls)
        media = self.line.media
        assert not len(media.calls), "media kept a call that control has ended"
        assert not any(used["used"] for used in media.run({"cmd": "status"})["ports"].values())

    def _within_bounds(self, commands: Commands) -> None:
        branches = list(commands.calls)
        assert len(branches) <= MAX_BRANCHES
        for branch in branches:
            assert len(branch.streams) <= MAX_MEDIA
            assert all(len(party.aliases) <= MAX_ALIASES for party in branch.parties)
            assert len(branch.record()) < 1 << 20


_relay: list[Relay] = []


def seeds(folder: Path) -> list[bytes]:
    """Return the dialogues of the golden files, without the answers."""
    found = []
    for path in sorted(folder.glob("*.txt")):
        _, *steps = re.split(r"^== ", path.read_text(), flags=re.MULTILINE)
        sent = [re.split(r"^-- ", step, maxsplit=1, flags=re.MULTILINE)[0] for step in steps]
        found.append("".join(f"== {step}" for step in sent).encode())
    return found


def descriptions(dialogues: list[bytes]) -> list[bytes]:
    """Return the SDPs of dialogues as they are sent."""
    steps = [step for dialogue in dialogues for step in _steps(dialogue)]
    return [step["sdp"].encode(errors="surrogateescape") for step in steps if step["sdp"]]


def _steps(data: bytes) -> list[dict[str, Any]]:
    steps = []
    for part in data.split(b"\n== ")[:MOST_STEPS]:
        head, _, body = part.removeprefix(MARK).partition(b"\n")
        words = head.decode(errors="surrogateescape").split(" ")
        message: dict[str, Any] = {"command": words[0], "call-id": "c", "from-tag": "a"}
        for word in words[1:]:
            key, _, value = word.partition("=")
            message[key] = value.split(",") if key in LISTS else value
        lines = body.strip(b"\n").split(b"\n") if body.strip() else []
        message["sdp"] = b"".join(line.rstrip(b"\r") + b"\r\n" for line in lines).decode(
            errors="surrogateescape"
        )
        steps.append(message)
    return steps


def one_dialogue(data: bytes) -> None:
    """Put the dialogue to a relay: every step is answered, nothing grows beyond its bounds, nothing is left behind."""
    if not data.startswith(MARK):
        return
    if not _relay:
        _relay.append(Relay())
    allowed = {word.decode().replace(" ", "-").lower() for word in WORDS}
    _relay[0].run([step for step in _steps(data) if step["command"].replace(" ", "-").lower() in allowed])
