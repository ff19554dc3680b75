"""The control process: configuration, NG socket, admin socket and the line to media, on one event loop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Set

from vosctl import __version__
from vosctl.errors import RelayError
from vosctl.relay import missing
from vosctl.relay.control import config as configuration
from vosctl.relay.control import report
from vosctl.relay.control.commands import Commands
from vosctl.relay.control.config import Config
from vosctl.relay.control.console import Console
from vosctl.relay.control.drain import Drain
from vosctl.relay.control.keyring import Keyring
from vosctl.relay.control.media import MediaClient, MediaDownError, MediaError
from vosctl.relay.control.rotation import Rotation
from vosctl.relay.control.server import NgServer, Replies, listen
from vosctl.relay.control.watch import Watch
from vosctl.relay.paths import RelayPaths

LOG = logging.getLogger(__name__)

SWEEP_SECONDS = 20.0
OVERDUE_SECONDS = 0.5
GARBAGE = 10_000  # new objects before a look for cycles: calls leave none behind

Json = Dict[str, Any]


class Daemon:
    """Everything that the control process holds. ``run`` returns when it is told to stop."""

    def __init__(self, paths: RelayPaths, config: Config) -> None:
        self._paths = paths
        self._media = MediaClient(paths.media_socket, prepare=self._prepare, event=self._event)
        self._rotation = Rotation(paths.run / "rotation.json")
        self._commands = Commands(self._rotation.merge(config), self._media)
        self._drain = self._commands.admission.drain = Drain(paths.run / "drain.json")
        self._replies = Replies()
        self._server: Optional[NgServer] = None
        self._started = time.monotonic()
        self._stop = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._keyring = Keyring(
            self._rotation, self._commands.calls, take=self._take, files=config, lock=self._reloading
        )
        self._tasks: Set[asyncio.Task[None]] = set()
        self._quiet: Set[str] = set()
        self._media_pid = 0
        self._low_latency = self._kernel_path = False
        self._missing = missing.data_plane()
        self._watch = Watch(self._commands, calls=self._listed, status=self._media_status)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises ``RelayError`` when a socket cannot be bound."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self._reload_by_signal()))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        self._spawn(self._media.run())
        # Calls that media holds are taken back before the first command about them is answered.
        if not self._missing:
            await self._either(self._media.ready.wait())
        console = Console(
            self._paths.control_socket,
            {
                "status": self._status,
                "calls": self._calls,
                "reload": self._reload,
                "drain": lambda request: self._drain.command(request, len(self._commands.calls)),
                **self._keyring.commands,
            },
        )
        try:
            if not self._stop.is_set():
                self._server = self._listen(self._commands.config)
                await self._export(self._commands.config)
                await console.open()
                # What is here by now stays: the collector need not look at it again and again.
                gc.freeze()
                gc.set_threshold(GARBAGE)
                LOG.info("ready: node %s, NG on %s:%d", self._commands.config.node, *self._commands.config.ng)
                self._spawn(self._sweep())
                self._spawn(self._close_overdue())
                self._spawn(self._watch.run())
                self._spawn(self._watch.webhook.run())
                await self._stop.wait()
        finally:
            if self._server is not None:
                await self._server.close()
            await console.close()
            await self._watch.exporter.close()
            for task in self._tasks:
                task.cancel()

    async def _either(self, waiting: Any) -> None:
        """Await ``waiting`` or the word to stop, whichever comes first."""
        tasks = [asyncio.ensure_future(waiting), asyncio.ensure_future(self._stop.wait())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()

    def _spawn(self, coroutine: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            LOG.error("a task failed", exc_info=task.exception())

    def _listen(self, config: Config) -> NgServer:
        try:
            return listen(config.ng, self._commands.handle, self._replies)
        except OSError as error:
            host, port = config.ng
            raise RelayError(
                f"NG socket {host}:{port}: {error.strerror}", hint="is another relay running on this address?"
            ) from error

    async def _export(self, config: Config) -> None:
        try:
            await self._watch.exporter.listen(config.metrics.listen)
        except OSError as error:
            host, port = config.metrics.listen or ("", 0)
            raise RelayError(f"metrics on {host}:{port}: {error.strerror}") from error

    async def _prepare(self) -> None:
        """Set up a media process that was just reached, and take over the calls it holds."""
        await self._push(self._commands.config)
        held: List[Json] = (await self._media.request("dump"))["calls"]
        await self._commands.restore(held)
        # What media told while nobody listened is not told again: look at these calls from time to time.
        self._quiet = {branch.media_id for branch in self._commands.calls}
        self._media_pid = int((await self._media.request("status"))["pid"])

    async def _push(self, config: Config) -> None:
        keys = {kid: {"value": value} for kid, value in config.keys.items()}
        await self._media.request("keys", keys=keys)
        reply = await self._media.request(
            "configure",
            ports=list(config.ports),
            addresses=list(config.bound),
            dscp=config.dscp,
            timeout=config.rtp_timeout,
            low_latency=config.low_latency,
            kernel_path=config.kernel_path,
        )
        self._low_latency = bool(reply.get("low_latency"))
        self._kernel_path = bool(reply.get("kernel_path"))

    def _event(self, event: Json) -> None:
        kind, media_id = event.get("event"), str(event.get("call"))
        if kind == "timeout":
            self._quiet.add(media_id)
            self._spawn(self._check(media_id))
        else:
            self._commands.note(event)
            if event.get("event") == "key-mismatch":
                self._spawn(self._commands.guesses.suspected(event))

    async def _check(self, media_id: str) -> None:
        try:
            await self._commands.close_if_silent(media_id)
        except MediaError as error:
            LOG.debug("call %s cannot be checked: %s", media_id, error)
        if self._commands.calls.by_media_id(media_id) is None:
            self._quiet.discard(media_id)

    async def _sweep(self) -> None:
        """Close what an event alone cannot: calls that rang or were held for too long, and went silent."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.time()
            calls = self._commands.calls
            # Calls that have ended since are remembered in neither.
            self._quiet.intersection_update([branch.media_id for branch in calls])
            self._commands.deadlines.rebuild(self._commands.config, calls)
            for branch in [b for b in calls if now - b.created >= self._commands.patience(b)]:
                streams = any(stream.open for stream in branch.streams)
                if branch.media_id in self._quiet or not branch.answered or not streams:
                    await self._check(branch.media_id)

    async def _close_overdue(self) -> None:
        while True:
            await asyncio.sleep(OVERDUE_SECONDS)
            try:
                await self._commands.close_overdue()
            except MediaError as error:
                LOG.warning("a call that lasts too long cannot be ended: %s", error)

    async def _reload_by_signal(self) -> None:
        await self._reload({})

    async def _reload(self, _request: Json) -> Json:
        async with self._reloading:
            try:
                files = configuration.load(self._paths.config, self._paths.keys)
                await self._take(self._rotation.merge(files))
                self._keyring.files = files
            except (RelayError, MediaError) as error:
                LOG.error("reload refused, the old configuration goes on: %s", error)  # noqa: TRY400 - expected
                return {"ok": False, "error": str(error)}
        LOG.info("reloaded: configuration %s", self._commands.config.digest[:12])
        return {"ok": True}

    async def _take(self, config: Config) -> None:
        """Go on with ``config``, or with the old one in every part."""
        old = self._commands.config
        fresh = self._listen(config) if config.ng != old.ng else None
        try:
            await self._export(config)
            if self._media.ready.is_set():
                await self._push(config)
        except MediaDownError:
            LOG.warning("the media process gets the new configuration when it is back")
        except (RelayError, MediaError):
            if fresh is not None:
                await fresh.close()
            await self._export(old)
            await self._push(old)
            raise
        self._commands.config = config
        self._commands.deadlines.rebuild(config, self._commands.calls)
        if fresh is not None:
            before, self._server = self._server, fresh
            if before is not None:
                await before.close()

    async def _status(self, _request: Json) -> Json:
        config = self._commands.config
        up = self._media.ready.is_set()
        return {
            "ok": True,
            "version": __version__,
            "release": release_digest(),
            "node": config.node,
            "pid": os.getpid(),
            "config_digest": config.digest,
            "keys": sorted(config.keys),
            "calls": len(self._commands.calls),
            "draining": self._drain.told(),
            "alerts": self._watch.raised,
            "totals": self._commands.tally.totals(),
            "uptime": round(time.monotonic() - self._started, 3),
            "media": {
                "up": up,
                "pid": self._media_pid if up else None,
                "low_latency": up and self._low_latency,
                "kernel_path": up and self._kernel_path,
                **({"missing": self._missing} if self._missing else {}),
            },
        }

    async def _calls(self, _request: Json) -> Json:
        try:
            return {"ok": True, "calls": await self._listed()}
        except MediaError as error:
            return {"ok": False, "error": str(error)}

    async def _listed(self) -> List[Json]:
        reply = await self._media.request("stats")
        counted = {call["call"]: call["streams"] for call in reply["calls"]}
        branches = list(self._commands.calls)
        return [report.listed(branch, counted.get(branch.media_id, [])) for branch in branches]

    async def _media_status(self) -> Json:
        return await self._media.request("status")


def release_digest() -> str:
    """Return the digest in the name of the release folder that this code runs from, empty elsewhere."""
    folder = Path(__file__).resolve().parents[4]
    version, dash, digest = folder.name.rpartition("-")
    return digest if dash and version == __version__ else ""


def main(paths: RelayPaths) -> int:
    """Run the control process; return its exit code. Raises ``RelayError`` when it cannot start."""
    # A reload that is asked for from here on waits until there is somebody to do it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    config = configuration.load(paths.config, paths.keys)
    asyncio.run(_run(paths, config))
    return 0


async def _run(paths: RelayPaths, config: Config) -> None:
    await Daemon(paths, config).run()
