"""The NG socket: cookies, replies said again for 60 s, duplicates held until the first is done."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import OrderedDict
from typing import Any, Awaitable, Callable, Dict, List, Optional, Tuple

from vosctl.relay.control import bencode

LOG = logging.getLogger(__name__)

REPLAY_SECONDS = 60.0
MAX_REPLAY_BYTES = 64 << 20
MAX_COOKIE = 256
REPLY_OVERHEAD = 500
MAX_PENDING = 4096
MAX_REPLY = 65507  # of a UDP datagram over IPv4
_MAX_DATAGRAM = 65535
_AT_ONCE = 64

_TOO_LONG: bencode.Value = {"result": "error", "error-reason": "The reply does not fit into a datagram"}

Address = Tuple[Any, ...]
Key = Tuple[str, bytes]
Handler = Callable[[Any], Awaitable[Dict[str, Any]]]


class Replies:
    """Replies by sender and cookie, for ``REPLAY_SECONDS`` or until they take too much memory."""

    def __init__(self) -> None:
        self._replies: OrderedDict[Key, Tuple[float, bytes]] = OrderedDict()
        self._size = 0

    def get(self, key: Key) -> Optional[bytes]:
        """Return the reply that was given under ``key``."""
        self._expire()
        found = self._replies.get(key)
        return None if found is None else found[1]

    def put(self, key: Key, reply: bytes) -> None:
        """Remember ``reply``."""
        before = self._replies.pop(key, None)
        if before is not None:
            self._size -= _weight(key, before[1])
        self._replies[key] = (time.monotonic(), reply)
        self._size += _weight(key, reply)
        self._expire()

    def _expire(self) -> None:
        limit = time.monotonic() - REPLAY_SECONDS
        while self._replies:
            key, (since, reply) = next(iter(self._replies.items()))
            if since > limit and self._size <= MAX_REPLAY_BYTES:
                return
            del self._replies[key]
            self._size -= _weight(key, reply)


def _weight(key: Key, reply: bytes) -> int:
    """Return about how many bytes the table holds for a reply; Python's own objects outweigh short ones."""
    return REPLY_OVERHEAD + len(key[1]) + len(reply)


class NgServer:
    """Answers NG datagrams ``<cookie> <bencoded dictionary>`` on ``bound``, a socket, by ``handler``.

    It reads the socket itself: asyncio's transport takes one datagram a turn of the loop, and maps a quarter of
    a megabyte for each.
    """

    def __init__(self, bound: socket.socket, handler: Handler, replies: Replies) -> None:
        self._socket = bound
        self._handler = handler
        self._replies = replies
        self._pending: Dict[Key, List[Address]] = {}
        self._tasks: Dict[Key, asyncio.Task[None]] = {}
        self._room = bytearray(_MAX_DATAGRAM)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(bound, self._readable)

    def _readable(self) -> None:
        view = memoryview(self._room)
        for _ in range(_AT_ONCE):
            try:
                length, addr = self._socket.recvfrom_into(self._room)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                # A proxy that is gone is no concern here.
                LOG.debug("NG socket: %s", error)
                return
            self._take(bytes(view[:length]), addr)

    def _take(self, data: bytes, addr: Address) -> None:
        """Answer ``data`` at once from memory, or when the command is done."""
        cookie, space, body = data.partition(b" ")
        if not space or not cookie or len(cookie) > MAX_COOKIE:
            LOG.debug("%s sent a datagram without a cookie", addr[0])
            return
        key = (addr[0], cookie)
        reply = self._replies.get(key)
        if reply is not None:
            self._send(reply, addr)
        elif key in self._pending:
            if addr not in self._pending[key]:
                self._pending[key].append(addr)
        elif len(self._pending) < MAX_PENDING:
            self._pending[key] = [addr]
            self._tasks[key] = self._loop.create_task(self._answer(key, body))
        else:
            LOG.warning("more than %d commands at once: %s must ask again", MAX_PENDING, addr[0])

    async def _answer(self, key: Key, body: bytes) -> None:
        try:
            result = await self._handler(_decoded(body))
        except Exception:
            LOG.exception("an NG command failed")
            result = {"result": "error", "error-reason": "Internal error, see the relay's log"}
        finally:
            waiting = self._pending.pop(key)
            del self._tasks[key]
        reply = key[1] + b" " + bencode.encode(result)
        if len(reply) > MAX_REPLY:
            reply = key[1] + b" " + bencode.encode(_TOO_LONG)
        self._replies.put(key, reply)
        for addr in waiting:
            self._send(reply, addr)

    def _send(self, reply: bytes, addr: Address) -> None:
        try:
            self._socket.sendto(reply, addr)
        except OSError as error:
            # It asks again, and gets the reply from memory.
            LOG.debug("NG socket: %s", error)

    async def close(self) -> None:
        """Finish what is begun, then close the socket."""
        self._loop.remove_reader(self._socket)
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=2)
        self._socket.close()


def _decoded(body: bytes) -> Any:
    try:
        return bencode.decode(body)
    except bencode.BencodeError as error:
        LOG.debug("not bencode: %s", error)
        return None


def listen(address: Tuple[str, int], handler: Handler, replies: Replies) -> NgServer:
    """Return a server bound to ``address``, on the running loop. Raises ``OSError``."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return NgServer(bound, handler, replies)
