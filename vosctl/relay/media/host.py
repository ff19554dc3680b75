"""The media process: one control connection, the data plane's events, and nothing per packet."""

from __future__ import annotations

import argparse
import fcntl
import gc
import logging
import os
import resource
import selectors
import signal
import socket
from pathlib import Path
from typing import Optional, Sequence

from vosctl.errors import RelayError
from vosctl.relay import kernel_path, lines, privileges
from vosctl.relay.media import build
from vosctl.relay.media.commands import Commands
from vosctl.relay.media.kernel import KernelPath
from vosctl.relay.media.plane import Plane
from vosctl.relay.priority import give_way

LINE_MAX = 8 << 20
BACKLOG_MAX = 8 << 20
GARBAGE = 10_000  # new objects before a look for cycles: calls leave none behind
_LOG = logging.getLogger("vosctl.relay.media")


class Client:
    """The control process at the other end of the socket: lines in, lines out, never blocking."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self._in = bytearray()
        self._out = bytearray()
        self.events_dropped = 0

    @property
    def waiting(self) -> bool:
        """Whether there is something left to send."""
        return bool(self._out)

    def lines(self) -> Optional[list[bytes]]:
        """Return the complete lines that have come, or None when the other side has gone or sends no line end."""
        try:
            data = self.connection.recv(1 << 16)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        self._in += data
        *complete, rest = self._in.split(b"\n")
        self._in = rest
        return None if len(rest) > LINE_MAX else [bytes(line) for line in complete if line.strip()]

    def reply(self, message: object) -> None:
        """Queue a message until ``flush``; replies are never dropped."""
        self._out += lines.encode(message).encode() + b"\n"

    def tell(self, event: object) -> None:
        """Queue an event, unless the reader is so far behind that memory would grow without bound."""
        if len(self._out) > BACKLOG_MAX:
            self.events_dropped += 1
        else:
            self.reply(event)
            self.flush()

    def flush(self) -> None:
        """Send what the socket takes; a broken connection shows when it is read."""
        try:
            while self._out:
                del self._out[: self.connection.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:
            self._out.clear()


class Host:
    """Serves the media socket until told to stop. Calls outlive their control connection."""

    def __init__(self, run: Path, plane: Plane, commands: Commands) -> None:
        self._path = run / "media.sock"
        self._plane = plane
        self._commands = commands
        self._client: Optional[Client] = None
        self._watched = 0
        self._selector = selectors.DefaultSelector()
        self._listener = _listen(self._path)
        self._wake, self._alarm = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._stopping = False

    def serve(self) -> None:
        """Run until SIGTERM or SIGINT, then end every call and take the socket away."""
        signal.set_wakeup_fd(self._alarm, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        handlers = (
            (self._listener, self._accept),
            (self._plane.events_fd, self._events),
            (self._wake, self._woken),
        )
        for watched, handler in handlers:
            self._selector.register(watched, selectors.EVENT_READ, handler)
        while not self._stopping:
            for key, ready in self._selector.select():
                key.data(ready)
        self._disconnect()
        self._commands.calls.close()
        self._commands.insertions.close()
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _stop(self, number: int, _frame: object) -> None:
        _LOG.info("%s: ending %d calls", signal.Signals(number).name, len(self._commands.calls))
        self._stopping = True

    def _woken(self, _ready: int) -> None:
        os.read(self._wake, 512)

    def _accept(self, _ready: int) -> None:
        connection, _ = self._listener.accept()
        if self._client:
            _LOG.info("a newer control connection replaces the older one")
        self._disconnect()
        self._client = Client(connection)
        self._watched = selectors.EVENT_READ
        self._selector.register(connection, self._watched, self._serve_client)

    def _disconnect(self) -> None:
        if self._client:
            self._selector.unregister(self._client.connection)
            self._client.connection.close()
            self._client = None

    def _serve_client(self, ready: int) -> None:
        client = self._client
        if client is None:
            return
        if ready & selectors.EVENT_READ:
            requests = client.lines()
            if requests is None:
                self._disconnect()
                return
            for line in requests:
                client.reply(self._answer(line))
        client.flush()
        self._watch(client)

    def _answer(self, line: bytes) -> object:
        try:
            request = lines.decode(line.decode())
        except (ValueError, RecursionError) as error:
            return {"id": None, "ok": False, "error": f"not JSON: {error}"}
        return self._commands.run(request)

    def _events(self, _ready: int) -> None:
        for event in self._plane.read_events():
            if event.kind == "played":
                self._commands.insertions.played(event.stream, event.side, event.value)
            told = self._commands.calls.event(event)
            if told is None:
                continue
            if event.kind == "key-mismatch":
                _LOG.warning(
                    "suspected key mismatch: call %s stream %s side %s",
                    *map(told.get, ("call", "stream", "side")),
                )
            if self._client:
                self._client.tell(told)
                self._watch(self._client)

    def _watch(self, client: Client) -> None:
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.waiting else 0)
        if wanted != self._watched:
            self._watched = wanted
            self._selector.modify(client.connection, wanted, self._serve_client)


def _listen(path: Path) -> socket.socket:
    """Return the listening socket, readable by its owner alone."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise RelayError(f"{path}: {error.strerror}") from None
    finally:
        os.umask(before)
    listener.listen(4)
    listener.setblocking(False)
    return listener


def claim(run: Path) -> int:
    """Return a descriptor that marks ``run`` as this process' own; raise RelayError when another one lives there."""
    lock = os.open(run / "media.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise RelayError(
            f"{run}: another media process runs here", hint="stop it first: vosctl-relay stop"
        ) from None
    return lock


def raise_file_limit() -> int:
    """Raise this process' limit of open files as far as it may go and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return 2**31 if hard == resource.RLIM_INFINITY else hard


def load_plane(run: Path) -> Plane:
    """Return the packaged data plane or, on a machine that cannot load it, one compiled there and then.

    Raises RelayError that says what is missing.
    """
    try:
        return Plane(build.LIBRARY)
    except OSError as error:
        refused = error
    try:
        return Plane(build.compile(run / "libvosmedia.so"))
    except (OSError, build.BuildError) as error:
        raise RelayError(
            f"the data plane does not load: {refused}; and cannot be compiled here: {error}",
            hint=f"on a machine of this kind with gcc: python3 {build.__file__}",
        ) from None


def main(argv: Sequence[str]) -> int:
    """Run the media process and return its exit code. Raises RelayError when it cannot start."""
    parser = argparse.ArgumentParser(
        prog="vosctl-relay media", description="Relays RTP at control's command."
    )
    parser.add_argument("--run", type=Path, default=Path("/run/vosctl-relay"), help="folder of media.sock")
    parser.add_argument(
        "--root", type=Path, default=None, help="prefix of the folder, for a node in a directory"
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="worker threads (default: one for each usable core)"
    )
    parser.add_argument("--epoll", action="store_true", help="do without io_uring")
    parser.add_argument(
        "--kernel-path",
        nargs="*",
        default=(),
        metavar="ADDRESS",
        help="let the kernel forward what is settled",
    )
    options = parser.parse_args(list(argv))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s media %(levelname)s %(message)s")
    run = options.run if options.root is None else options.root / options.run.relative_to("/")
    run.mkdir(parents=True, exist_ok=True)
    workers = options.workers or len(os.sched_getaffinity(0))
    lock = claim(run)
    limit = raise_file_limit()
    plane = load_plane(run)
    kernel = KernelPath(plane)
    if options.kernel_path:
        kernel.open(options.kernel_path, file_limit=limit)
    privileges.give_up(kernel_path.CAPABILITIES)
    plane.start(workers=workers, files=limit, epoll=options.epoll)
    give_way()  # the workers stay what this process was started as
    host = Host(run, plane, Commands(plane, workers=workers, file_limit=limit, kernel=kernel))
    _LOG.info("ready: %d workers, at most %d open files, %s", workers, limit, plane.crypto or "no libcrypto")
    gc.freeze()
    gc.set_threshold(GARBAGE)
    host.serve()
    plane.stop()
    os.close(lock)
    return 0
