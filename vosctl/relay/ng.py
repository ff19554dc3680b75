"""A client of the NG protocol: what a SIP proxy says to the relay, for tests, the demo and the benchmarks."""

from __future__ import annotations

import os
import socket
import time
from typing import Any, Dict, Optional, Tuple

from vosctl.errors import RelayError
from vosctl.relay.control import bencode

MAX_DATAGRAM = 65535


class NgError(RelayError):
    """The relay answered ``error`` (``reason`` is its error-reason) or something that is no answer."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"{command}: {reason}")
        self.reason = reason


class NgTimeoutError(NgError):
    """The relay did not answer within all tries."""


class NgClient:
    """Speaks NG over UDP to one relay, one request at a time, repeating a cookie as a proxy would.

    ``timeout`` is in seconds for each of ``tries`` attempts. Further request keys go as keyword
    arguments, an underscore for each hyphen: ``vos_from="acme"``, ``flags=["trust-address"]``.
    """

    def __init__(self, address: Tuple[str, int], *, timeout: float = 1.0, tries: int = 5) -> None:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._address = address
        self._timeout = timeout
        self._tries = tries
        self._prefix = f"{os.getpid()}_{os.urandom(4).hex()}"
        self._count = 0
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.connect(address)

    def __enter__(self) -> NgClient:  # noqa: PYI034 - typing.Self is not in Python 3.9
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def exchange(self, payload: bytes, cookie: Optional[str] = None) -> bytes:
        """Send ``payload`` under ``cookie`` (a fresh one by default); return the reply without its cookie.

        Raises ``NgTimeoutError``.
        """
        self._count += 1
        head = (cookie or f"{self._prefix}_{self._count}").encode() + b" "
        for _ in range(self._tries):
            try:
                self._socket.send(head + payload)
                reply = self._receive(head)
            except ConnectionRefusedError:
                time.sleep(self._timeout / 10)
                continue
            if reply is not None:
                return reply
        total = self._timeout * self._tries
        raise NgTimeoutError(
            "exchange", f"no reply from {self._address[0]}:{self._address[1]} in {total:g} s"
        )

    def _receive(self, head: bytes) -> Optional[bytes]:
        deadline = time.monotonic() + self._timeout
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._socket.settimeout(left)
            try:
                datagram = self._socket.recv(MAX_DATAGRAM)
            except socket.timeout:
                return None
            if datagram.startswith(head):
                return datagram[len(head) :]

    def request(self, command: str, **keys: Any) -> Dict[str, Any]:
        """Return the reply's dictionary, whatever its result; keys that are ``None`` are left out."""
        message: Dict[str, Any] = {"command": command}
        message.update({key.replace("_", "-"): item for key, item in keys.items() if item is not None})
        reply = bencode.decode(self.exchange(bencode.encode(message)))
        if not isinstance(reply, dict):
            raise NgError(command, "the reply is no dictionary")
        return reply

    def _ok(self, command: str, **keys: Any) -> Dict[str, Any]:
        reply = self.request(command, **keys)
        if reply.get("result") not in {"ok", "pong"}:
            raise NgError(
                command, str(reply.get("error-reason") or reply.get("message") or reply.get("result"))
            )
        return reply

    def ping(self) -> None:
        """Return when the relay answered ``pong``."""
        self._ok("ping")

    def offer(self, call_id: str, from_tag: str, sdp: str, **keys: Any) -> str:
        """Offer ``sdp`` of the party ``from_tag``; return the SDP for the other party."""
        return str(self._ok("offer", call_id=call_id, from_tag=from_tag, sdp=sdp, **keys)["sdp"])

    def answer(self, call_id: str, from_tag: str, to_tag: str, sdp: str, **keys: Any) -> str:
        """Answer with ``sdp`` of the party ``to_tag``; return the SDP for the party ``from_tag``."""
        reply = self._ok("answer", call_id=call_id, from_tag=from_tag, to_tag=to_tag, sdp=sdp, **keys)
        return str(reply["sdp"])

    def delete(self, call_id: str, from_tag: str, **keys: Any) -> Dict[str, Any]:
        """End the call; return the reply with its totals."""
        return self._ok("delete", call_id=call_id, from_tag=from_tag, **keys)

    def query(self, call_id: str, **keys: Any) -> Dict[str, Any]:
        """Return what the relay counts for the call: ``totals``, ``tags``, ``created``."""
        return self._ok("query", call_id=call_id, **keys)
