"""What the agent remembers: the applied state, an apply that waits for its confirmation, the journal."""

from __future__ import annotations

import contextlib
import json
import os

from vosctl.push.agent import clock, durable, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vosctl.push.agent.node import Node

JOURNAL_LIMIT = 1 << 20


class State:
    """The documents under /var/lib/vosctl and /run/vosctl.

    - applied: what the last apply left, and what files and settings it took charge of.
    - pending: the apply under way (``applying``), waiting for its confirmation (``applied``) or being
      taken back (``reverting``). Its presence is what makes a node go back.
    - firewall: rules and sets as they were loaded, to load them again after a reboot.
    - loaded: what the kernel holds since boot, gone after a reboot.
    """

    def __init__(self, node: Node) -> None:
        self.node = node

    def applied(self) -> dict[str, Any]:
        """Return the applied state, {} when there never was one."""
        return _object(durable.read_json(self.node.state("applied.json")))

    def pending(self) -> dict[str, Any] | None:
        """Return the pending apply, None when there is none."""
        return _object(durable.read_json(self.node.state("pending.json"))) or None

    def write_pending(self, pending: dict[str, Any]) -> None:
        """Store the pending apply; raises OSError."""
        durable.write_json(self.node.state("pending.json"), pending)

    def clear_pending(self) -> None:
        """Forget the pending apply: from now on the node stays as it is. Raises OSError."""
        durable.discard(self.node.state("pending.json"))
        durable.sync_folder(self.node.state("")[:-1])

    def load(self, name: str) -> dict[str, Any] | None:
        """Return one of the documents ``applied``, ``firewall`` and ``loaded``."""
        return _object(durable.read_json(self._path(name))) or None

    def store(self, name: str, document: dict[str, Any] | None) -> None:
        """Write such a document, None removes it; raises OSError."""
        self.put_back(name, None if document is None else durable.packed(document))

    def saved(self, name: str) -> bytes | None:
        """Return such a document as it is stored, for ``put_back``; None where there is none."""
        return durable.read(self._path(name))

    def put_back(self, name: str, data: bytes | None) -> None:
        """Store such a document again as it was, None removes it; raises OSError."""
        path = self._path(name)
        if data is None:
            durable.discard(path)
        else:
            durable.write(path, data, mode=0o600)

    def _path(self, name: str) -> str:
        return (
            self.node.run(f"{name}.json")
            if name in ("loaded", "processes")
            else self.node.state(f"{name}.json")
        )

    def journal(self, event: str, **fields: Any) -> None:
        """Append a line to the journal, synced; raises OSError."""
        line = json.dumps({"time": clock.now(), "event": event, **fields}, separators=(",", ":"))
        descriptor = os.open(self.node.state("journal.jsonl"), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            torn = size and os.pread(descriptor, 1, size - 1) != b"\n"
            os.write(descriptor, (("\n" if torn else "") + line + "\n").encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if size > JOURNAL_LIMIT:
            self._shorten()

    def note(self, event: str, **fields: Any) -> None:
        """Append to the journal where going on matters more than the line: a full disk is no error."""
        with contextlib.suppress(OSError):
            self.journal(event, **fields)

    def entries(self, count: int) -> list[dict[str, Any]]:
        """Return the last ``count`` journal entries, oldest first; torn lines are left out."""
        try:
            with open(self.node.state("journal.jsonl"), "rb") as stream:
                lines = stream.read().splitlines()
        except OSError:
            return []
        return _parsed(lines[-count - 8 :])[-count:]

    def outcome(self, identity: str) -> dict[str, Any] | None:
        """Return the journal's last word (``confirmed``, ``reverted``, …) on an apply."""
        last = ("confirmed", "reverted")
        found = (entry for entry in reversed(self.entries(1000)) if entry.get("id") == identity)
        return next((entry for entry in found if entry.get("event") in last), None)

    def _shorten(self) -> None:
        from vosctl.push.agent import history  # noqa: PLC0415  once in a thousand applies

        path = self.node.state("journal.jsonl")
        with open(path, "rb") as stream:
            lines = stream.read().splitlines(keepends=True)
        half = len(lines) // 2
        records = history.fold(_parsed(lines[:half]))
        kept = [json.dumps({"event": "record", **each}, separators=(",", ":")) + "\n" for each in records]
        durable.write(path, "".join(kept).encode() + b"".join(lines[half:]), mode=0o600)


def _parsed(lines: list[bytes]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for line in lines:
        with contextlib.suppress(ValueError):
            found.append(_object(json.loads(line)))
    return found


def guard_alive(node: Node, identity: str) -> bool:
    """Return whether the process that would take back the apply ``identity`` lives."""
    found = _object(durable.read_json(node.run("guard.json")))
    return found.get("id") == identity and process.alive(found.get("pid", 0), found.get("start"))


def _object(document: Any) -> dict[str, Any]:
    return document if isinstance(document, dict) else {}
