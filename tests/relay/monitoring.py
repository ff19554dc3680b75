"""What watches a relay from outside: a scraper of metrics, a webhook's server, a syslog daemon."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from relay_calls import Node, address

SAMPLE = re.compile(r'([a-z_]+)(?:\{([a-z_]+="[^"\\\n]*"(?:,[a-z_]+="[^"\\\n]*")*)\})? (-?[0-9.e+]+)')


def get(node: Node, path: str = "/metrics", method: str = "GET") -> tuple[int, str]:
    host, port = node.config["metrics"]["listen"]
    line = http.client.HTTPConnection(host, port, timeout=5)
    line.request(method, path)
    reply = line.getresponse()
    text = reply.read().decode()
    line.close()
    return reply.status, text


def samples(text: str) -> dict[str, float]:
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, labels, value = SAMPLE.fullmatch(line).groups()
            found[f"{name}{{{labels}}}" if labels else name] = float(value)
    return found


class Ear:
    """An HTTP server that keeps the alerts that it is told; the first one it refuses."""

    def __init__(self) -> None:
        self.heard: list[dict] = []
        self.refusals = 1
        ear = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if ear.refusals:
                    ear.refusals -= 1
                    self.send_response(503)
                else:
                    ear.heard.append(body)
                    self.send_response(204)
                self.end_headers()

            def log_message(self, *_) -> None:
                pass

        self.server = HTTPServer((address(), 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Syslog:
    """A datagram socket that the relay takes for /dev/log, and what was written there."""

    # A /dev of the relay's own, in a mount namespace: this machine's stays what it is.
    _ENTER = (
        'set -e; dev="$1.dev"; mkdir -p "$dev"; mount -t tmpfs none "$dev"; '
        'for each in null zero random urandom; do touch "$dev/$each"; mount --bind "/dev/$each" "$dev/$each"; done; '
        'touch "$dev/log"; mount --bind "$1" "$dev/log"; mount --rbind "$dev" /dev; shift; exec "$@"'
    )

    def __init__(self, folder: Path) -> None:
        self._path = folder / "log.sock"
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind(str(self._path))
        self._line.settimeout(0)
        self._text = ""

    def command(self, words: list[str]) -> list[str]:
        """The command that runs ``words`` with this /dev/log."""
        return ["unshare", "--mount", "sh", "-c", self._ENTER, "sh", str(self._path), *words]

    def text(self) -> str:
        """All lines until now."""
        while True:
            try:
                self._text += self._line.recv(65536).rstrip(b"\0").decode() + "\n"
            except BlockingIOError:
                return self._text

    def close(self) -> None:
        self._line.close()
