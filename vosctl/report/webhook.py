"""Tells a chat, or anything with a URL, how a run goes: few messages, as JSON, in bounded time."""

from __future__ import annotations

import json
from typing import Any

from vosctl.push.event import Event, GoingBack, HostFinished, Recap, RolledBack, RunStarted, Stopped
from vosctl.report.apart import ProcessorError
from vosctl.report.events import BAD, as_dict, line

TIMEOUT = 5.0
MOST_TEXT = 2000
# A broken fleet must not flood a channel: the recap has the rest.
MOST_FAILURES = 10


class Webhook:
    """A ``Processor`` that posts the run's start and end, failures, and batches that go back.

    The body is ``{"text": …, "event": {…}}``: chats that take incoming webhooks show the text.
    """

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise ProcessorError("a webhook needs a URL that begins with https:// or http://")
        self._url = url
        self._run = ""
        self._failures = 0

    def handle(self, event: Event) -> None:
        """Post the event if it is one to tell; raises ProcessorError where it was not taken."""
        if isinstance(event, RunStarted):
            self._run = event.run
        if self._tells(event):
            self._post({"text": f"vosctl {line(event)}"[:MOST_TEXT], "event": as_dict(event, run=self._run)})

    def _tells(self, event: Event) -> bool:
        if isinstance(event, HostFinished) and event.result.status in BAD:
            self._failures += 1
            return self._failures <= MOST_FAILURES
        if isinstance(event, RolledBack):
            return not event.ok
        return isinstance(event, (RunStarted, GoingBack, Stopped, Recap))

    def _post(self, message: dict[str, Any]) -> None:
        import urllib.error  # noqa: PLC0415  takes 50 ms, and few runs have a webhook
        import urllib.request  # noqa: PLC0415

        body = json.dumps(message, default=str).encode()
        head = {"Content-Type": "application/json", "User-Agent": "vosctl"}
        try:
            request = urllib.request.Request(self._url, body, head, method="POST")  # noqa: S310  checked above
            with urllib.request.urlopen(request, timeout=TIMEOUT):  # noqa: S310
                return
        except urllib.error.HTTPError as error:
            error.close()
            raise ProcessorError(f"the URL answered {error.code}") from None
        except (OSError, ValueError) as error:
            # The URL may hold a token, and an error may quote it: only its kind is told.
            raise ProcessorError(f"the URL cannot be reached ({type(error).__name__})") from None
