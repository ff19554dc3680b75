"""One POST of JSON over HTTP or HTTPS, to the named place and no other."""

from __future__ import annotations

import urllib.request
from typing import Any


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The operator named one place: what answers there cannot send the message somewhere else."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nothing (called by urllib)."""


# No proxy from the environment either: the daemon talks to whom its configuration names.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def post(url: str, body: bytes, *, timeout: float) -> None:
    """Send ``body``; ``timeout`` is in seconds. Raises ``OSError`` unless the answer is 2xx, ``ValueError``."""
    request = urllib.request.Request(  # noqa: S310 - http and https alone pass the configuration
        url, body, {"Content-Type": "application/json"}, method="POST"
    )
    with _OPENER.open(request, timeout=timeout) as reply:
        reply.read(1024)
