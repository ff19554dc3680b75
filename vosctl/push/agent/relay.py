"""Asks the relay over its admin socket what it runs, and waits until it runs what it should."""

from __future__ import annotations

import json
import os
import time

from vosctl.push.agent import dataplane, release
from vosctl.push.agent.digests import hex_sha256
from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vosctl.push.agent.node import Node

SERVICE = "vosctl-relay"
CONFIG = "/etc/vosctl/relay.json"
RUN = "/run/vosctl-relay"
STATE = "/var/lib/vosctl-relay"
SECONDS = 15.0
# A call is about 2 KB of JSON: this is room for 100,000 of them.
MOST_ANSWER = 256 << 20


def ask(node: Node, request: dict[str, Any], *, seconds: float = 5.0) -> dict[str, Any] | None:
    """Return the relay's answer to one request, None when no relay answers."""
    import socket  # noqa: PLC0415  takes 3 ms, and most runs have nothing to ask

    try:
        # Through a descriptor, because a socket's path may not be longer than 107 bytes.
        folder = os.open(node.path(RUN), os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds)
            connection.connect(f"/proc/self/fd/{folder}/control.sock")
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as stream:
                answer = json.loads(stream.readline(MOST_ANSWER))
    except (OSError, ValueError):
        return None
    finally:
        os.close(folder)
    return answer if isinstance(answer, dict) else None


def status(node: Node) -> dict[str, Any] | None:
    """Return the relay's status, None when none answers."""
    return ask(node, {"cmd": "status"})


def calls(node: Node) -> list[Any]:
    """Return the relay's calls; raises AgentError when none answers, or with the relay's own words."""
    found = _asked(node, {"cmd": "calls"}).get("calls")
    return found if isinstance(found, list) else []


def keys(node: Node, salt: str) -> dict[str, Any]:
    """Return the trunks' key ids with fingerprints under ``salt``; raises AgentError as ``calls`` does."""
    found = _asked(node, {"cmd": "keys", "salt": salt}).get("trunks")
    return found if isinstance(found, dict) else {}


def _asked(node: Node, request: dict[str, Any]) -> dict[str, Any]:
    answer = ask(node, request, seconds=SECONDS)
    if answer is None:
        raise AgentError("io", f"the relay does not answer on {RUN}/control.sock", hint=HINT, item=SERVICE)
    if not answer.get("ok"):
        raise AgentError(
            "io", f"the relay: {answer.get('error', 'no reason given')}", hint=HINT, item=SERVICE
        )
    return answer


def reload(node: Node) -> bool:
    """Make the relay read its configuration; return False when none answers.

    Raises AgentError with the relay's own words when it refuses the configuration.
    """
    answer = ask(node, {"cmd": "reload"}, seconds=SECONDS)
    if answer is None:
        return False
    if not answer.get("ok"):
        message = f"the relay refuses its configuration: {answer.get('error', 'no reason given')}"
        raise AgentError("io", message, hint="it goes on with the old one", item=SERVICE, step="services")
    return True


def wait_for_config(node: Node) -> None:
    """Wait until the relay says that it runs the node's relay.json, and the release in use.

    Raises AgentError when it does not.
    """
    digest = _config_digest(node)
    program = str((release.observe(node) or {}).get("digest") or "")[:12]
    until = time.monotonic() + SECONDS
    found: dict[str, Any] | None = None
    while time.monotonic() < until:
        found = status(node)
        if (
            found is not None
            and _has_media(node, found)
            and (digest is None or found.get("config_digest") == digest)
            and (not program or found.get("release") in ("", None, program))
        ):
            return
        time.sleep(0.05)
    if found is None:
        raise AgentError(
            "io", f"the relay does not answer on {RUN}/control.sock", hint=HINT, item=SERVICE, step="services"
        )
    lacks = (
        "its media process does not"
        if not _has_media(node, found)
        else "still runs another configuration or release"
    )
    message = f"the relay answers but {lacks}"
    raise AgentError("io", message, hint=HINT, item=SERVICE, step="services")


def _has_media(node: Node, found: dict[str, Any]) -> bool:
    """Return whether the relay has its media process, or cannot have one on this node."""
    media = found.get("media") or {}
    return bool(media.get("up", True)) or bool(media.get("missing") and dataplane.missing(node))


def give_back(node: Node) -> None:
    """Give root the relay's folders, for a relay that ran as root and has none of root's powers; raises OSError."""
    for folder in (RUN, STATE):
        for place, folders, names in os.walk(node.path(folder)):
            os.chown(place, 0, 0, follow_symlinks=False)
            for name in (*folders, *names):
                os.chown(f"{place}/{name}", 0, 0, follow_symlinks=False)


HINT = f"its log on the node says why: {RUN}/relay.log"


def _config_digest(node: Node) -> str | None:
    try:
        with open(node.path(CONFIG), "rb") as stream:
            return hex_sha256(stream.read())
    except OSError:
        return None
