"""The agent's conversation with the controller, and its other entries: guard and boot."""

from __future__ import annotations

import os
import re
import signal
import sys

from vosctl import __version__
from vosctl.push.agent import durable, facts, files, firewall, glance, lock
from vosctl.push.agent import wanted as wanted_state
from vosctl.push.agent.errors import AgentError, from_os
from vosctl.push.agent.frames import Channel, encode
from vosctl.push.agent.node import Node
from vosctl.push.agent.observe import APPLIED, MAX_CONTENT, observe, waiting
from vosctl.push.agent.state import State
from vosctl.push.agent.wanted import safe_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

JOURNAL_ENTRIES = 50
_KEY = re.compile(r"[0-9a-f]{64}")


def main(arguments: Sequence[str], archive: str) -> int:
    """Serve one connection, or be the guard of an apply, or do what a boot needs; return the exit code.

    ``archive`` is the path of the agent's own zip file.
    """
    if sys.version_info < (3, 9):
        sys.stderr.write("vosctl's agent needs python3 3.9 or newer on the node\n")
        return 1
    # Folders that other users must read get the modes that are asked for, whatever the login's umask is.
    os.umask(0o022)
    # A dropped connection must not stop an apply half-way.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    if arguments[:1] == ["guard"]:
        from vosctl.push.agent import guard  # noqa: PLC0415  see Conversation

        guard.watch(Node(_option_root(arguments)), arguments[1])
        return 0
    if arguments[:1] == ["boot"]:
        return _boot(Node(_option_root(arguments)))
    if arguments[:1] == ["firewall-metrics"]:
        from vosctl.push.agent import watch  # noqa: PLC0415  see Conversation

        return watch.watch(Node(_option_root(arguments)))
    Conversation(Channel(), archive).run()
    return 0


def _option_root(arguments: Sequence[str]) -> str | None:
    return arguments[arguments.index("--root") + 1] if "--root" in arguments else None


def _boot(node: Node) -> int:
    from vosctl.push.agent import boot  # noqa: PLC0415  see Conversation

    node.prepare()
    errors = boot.boot(State(node))
    for error in errors:
        sys.stderr.write(f"vosctl: {error}\n")
    return 1 if errors else 0


class Conversation:
    """Answers requests until the controller says bye or hangs up.

    Modules that change things are imported by the requests that need them: most runs find nothing to
    do, and importing is most of what these cost.
    """

    def __init__(self, channel: Channel, archive: str) -> None:
        self._channel = channel
        self._archive = archive

    def run(self) -> None:
        """Greet, then answer every frame with one of its own; an error is an answer, too."""
        self._channel.send({"op": "hello", "version": __version__})
        while True:
            try:
                request = self._channel.receive()
            except AgentError as error:
                self._channel.send(error.frame())
                return
            if request is None or request["op"] == "bye":
                return
            self._channel.send(self._answer(request))

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._dispatch(request)
        except AgentError as error:
            return error.frame()
        except OSError as error:
            return from_os(error).frame()

    def _dispatch(self, request: dict[str, Any]) -> dict[str, Any]:
        long = {"apply": self._apply, "rollback": self._rollback}.get(request["op"])
        if long is not None:
            return long(State(_node(request)), request)
        handler = _HANDLERS.get(request["op"])
        if handler is None:
            raise AgentError("unsupported", f"this agent does not know the request {request['op']!r}")
        return handler(State(_node(request)), request)

    def _apply(self, state: State, request: dict[str, Any]) -> dict[str, Any]:
        from vosctl.push.agent.apply import Apply  # noqa: PLC0415

        with open(self._archive, "rb") as stream:
            archive = stream.read()
        return Apply(state, request, archive, self._progress).run()

    def _rollback(self, state: State, request: dict[str, Any]) -> dict[str, Any]:
        from vosctl.push.agent import confirm, drain  # noqa: PLC0415

        # Whoever holds the lock is at work on the relay himself.
        drains = bool(request.get("drain")) and lock.holder(state.node) is None
        emptied = drain.before_rollback(state, self._progress) if drains else False
        try:
            return confirm.rollback(state, request)
        finally:
            if emptied:
                drain.over(state.node)

    def _progress(self, step: str, done: int, of: int) -> None:
        self._channel.send({"op": "progress", "step": step, "done": done, "of": of})


def _node(request: dict[str, Any]) -> Node:
    root = request.get("root")
    if root is not None and not safe_path(root):
        raise AgentError(
            "unsupported", f"{root!r} is no absolute path of a directory that can stand for a node"
        )
    node = Node(root)
    try:
        node.prepare()
    except OSError as error:
        raise from_os(error) from error
    return node


def _inspect(state: State, request: dict[str, Any]) -> dict[str, Any]:
    wanted = wanted_state.check(request.get("wanted"), directory=not state.node.is_machine)
    recovered = _recover(state)
    key = request.get("glance")
    begun = glance.begin(state, wanted) if isinstance(key, str) and _KEY.fullmatch(key) else None
    found = observe(state, wanted, max_content=int(request.get("max_content", MAX_CONTENT)))
    answer = {"op": "observed", "observed": {**found, "recovered": recovered}}
    # Where something is to be done the answer will not be good for long.
    if begun and not (recovered or found["lock"] or found["pending"] or _differs(wanted, found)):
        glance.keep(str(key), begun, encode(answer))
    return answer


def _differs(wanted: dict[str, Any], found: dict[str, Any]) -> bool:
    differing = firewall.compare(wanted, found)
    return bool(differing.sets or differing.families) or any(
        files.differs(found["files"][item["path"]], item) for item in wanted["files"]
    )


def _status(state: State, request: dict[str, Any]) -> dict[str, Any]:
    del request
    from vosctl.push.agent import relay  # noqa: PLC0415

    _recover(state)
    applied = state.applied()
    return {
        "op": "status",
        "applied": {key: applied.get(key) for key in (*APPLIED, "node", "holder", "time", "confirmed")}
        if applied
        else {},
        "pending": waiting(state),
        "lock": lock.holder(state.node),
        "relay": relay.status(state.node),
        "firewall_alerts": sorted(durable.read_json(state.node.run("firewall-alerts.json")) or ()),
        "journal": state.entries(JOURNAL_ENTRIES),
    }


def _facts(state: State, request: dict[str, Any]) -> dict[str, Any]:
    del request
    return {"op": "facts", "facts": facts.gather(state.node, firewall.look(state.node))}


def _calls(state: State, request: dict[str, Any]) -> dict[str, Any]:
    del request
    from vosctl.push.agent import relay  # noqa: PLC0415

    return {"op": "calls", "calls": relay.calls(state.node)}


def _keys(state: State, request: dict[str, Any]) -> dict[str, Any]:
    from vosctl.push.agent import relay  # noqa: PLC0415

    return {"op": "keys", "trunks": relay.keys(state.node, str(request.get("salt")))}


def _counters(state: State, request: dict[str, Any]) -> dict[str, Any]:
    del request
    from vosctl.push.agent import counters  # noqa: PLC0415

    return {"op": "counters", "counters": counters.read(state.node)}


def _ban(state: State, request: dict[str, Any]) -> dict[str, Any]:
    from vosctl.push.agent import bans  # noqa: PLC0415

    return bans.ban(state, request)


def _unban(state: State, request: dict[str, Any]) -> dict[str, Any]:
    from vosctl.push.agent import bans  # noqa: PLC0415

    return bans.unban(state, request)


def _bans(state: State, request: dict[str, Any]) -> dict[str, Any]:
    del request
    from vosctl.push.agent import bans  # noqa: PLC0415

    return {"op": "bans", "bans": bans.listing(state)}


def _health(state: State, request: dict[str, Any]) -> dict[str, Any]:
    from vosctl.push.agent import health  # noqa: PLC0415

    return health.look(state.node, request)


def _history(state: State, request: dict[str, Any]) -> dict[str, Any]:
    del request
    from vosctl.push.agent import history  # noqa: PLC0415

    _recover(state)
    at_work = str(lock.holder(state.node) or "")
    found = history.read(state.entries(1 << 20), state.pending() or {}, at_work)
    return {"op": "history", "history": found}


def _checked(state: State, request: dict[str, Any]) -> dict[str, Any]:
    from vosctl.push.agent import checked  # noqa: PLC0415

    return checked.check(state, request)


def _recover(state: State) -> str:
    if state.pending() is None:
        return ""
    from vosctl.push.agent import recovery  # noqa: PLC0415

    return recovery.recover(state.node)


def _confirm(state: State, request: dict[str, Any]) -> dict[str, Any]:
    from vosctl.push.agent import confirm  # noqa: PLC0415

    return confirm.confirm(state, request)


def _drain(state: State, request: dict[str, Any]) -> dict[str, Any]:
    from vosctl.push.agent import drain  # noqa: PLC0415

    on = request.get("on")
    return drain.drain(state.node, on=on if isinstance(on, bool) else None)


_HANDLERS: Mapping[str, Callable[[State, dict[str, Any]], dict[str, Any]]] = {
    "inspect": _inspect,
    "confirm": _confirm,
    "status": _status,
    "facts": _facts,
    "calls": _calls,
    "drain": _drain,
    "keys": _keys,
    "counters": _counters,
    "ban": _ban,
    "unban": _unban,
    "bans": _bans,
    "health": _health,
    "history": _history,
    "checked": _checked,
}
