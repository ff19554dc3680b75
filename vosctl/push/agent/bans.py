"""Bans by people: kept in the state folder, in force in the sets ``vos-ban4`` and ``vos-ban6``."""

from __future__ import annotations

import ipaddress
import re

from vosctl.push.agent import clock, command
from vosctl.push.agent.errors import AgentError
from vosctl.push.agent.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Union

    from vosctl.push.agent.state import State

    Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

BAN = "vos-ban"
# An offence is remembered here for a day, counted from the last one.
AGAIN, OFTEN = "vos-again", "vos-often"
_REMEMBERED = 86400
DOCUMENT = "bans"
# The kernel counts a timeout in milliseconds in 32 bits.
LONGEST = (1 << 32) // 1000 // 2
PATIENCE = 10.0
_LONGEST_COMMENT = 255
_SAFE = re.compile(r"[^A-Za-z0-9 ._:,;/+=@()\[\]-]")
_ENTRY = re.compile(
    r"add (\S+) (\S+)(?: timeout (\d+))?(?: packets (\d+) bytes (\d+))?(?: comment \"([^\"]*)\")?"
)


def ban(state: State, request: dict[str, Any]) -> dict[str, Any]:
    """Ban the request's ``address`` for ``seconds`` (None: until a person takes it back), for a ``reason``.

    A ban of the same address is replaced. Raises AgentError; the node is then as it was.
    """
    network = _network(request)
    now = clock.now()
    seconds = _seconds(request)
    record: dict[str, Any] = {
        "address": _text(network),
        "by": str(request.get("holder") or "?"),
        "reason": str(request.get("reason") or ""),
        "since": now,
        "until": None if seconds is None else now + seconds,
    }
    with _locked(state, request, f"ban {record['address']}"):
        name = _existing_set(network)
        before = records(state)
        known = before.get(record["address"])
        _store(state, {**before, record["address"]: record})
        try:
            _run(_add(name, record, now))
        except AgentError:
            _store(state, before)
            raise
        state.note("ban", **record)
    return {"op": "ban", "ban": record, "replaced": known}


def unban(state: State, request: dict[str, Any]) -> dict[str, Any]:
    """Take the ban of the request's ``address`` back, a person's or a rule's, its offences forgotten; raises AgentError.

    ``found`` says whether there was one, ``inside`` names banned networks that still hold the address.
    """
    network = _network(request)
    text = _text(network)
    with _locked(state, request, f"unban {text}"):
        before = records(state)
        held = [entry for entry in entries() if entry["address"] == text]
        if text in before:
            _store(state, {address: record for address, record in before.items() if address != text})
        try:
            _run("".join(f"del {entry['set']} {text}\n" for entry in held))
        except AgentError:
            _store(state, before)
            raise
        found = text in before or any(entry["set"].startswith(BAN) for entry in held)
        if found:
            state.note("unban", address=text, by=str(request.get("holder") or "?"))
    return {"op": "unban", "found": found, "inside": _around(network)}


def listing(state: State) -> list[dict[str, Any]]:
    """Return every ban, those of people and those by rules; raises AgentError where sets cannot be read."""
    now = clock.now()
    made, every = records(state), entries()
    held = {entry["address"]: entry for entry in every if entry["set"].startswith(BAN)}
    offended = {entry["address"]: entry["left"] for entry in every if entry["set"].startswith(AGAIN)}
    found = []
    for address in {**made, **held}:
        record, entry = made.get(address), held.get(address)
        left = entry["left"] if entry else None
        remembered = offended.get(address)
        by_rule = {
            "address": address,
            "by": "",
            "reason": "",
            "since": now - (_REMEMBERED - remembered) if remembered else None,
            "until": now + left if left else None,
        }
        found.append(
            {
                **(record or by_rule),
                "source": "person" if record else "rule",
                "in_force": entry is not None,
                "packets": entry["packets"] if entry else None,
            }
        )
    return found


def records(state: State) -> dict[str, dict[str, Any]]:
    """Return the bans of people that have not run out, by address."""
    now = clock.now()
    stored = (state.load(DOCUMENT) or {}).get("bans")
    found = stored if isinstance(stored, list) else []
    return {item["address"]: item for item in found if item.get("until") is None or item["until"] > now}


def put_back(state: State) -> None:
    """Bring the bans of people into force again, as after a boot or an apply.

    Those whose set does not exist stay stored. Raises AgentError when the kernel refuses one.
    """
    wanted = records(state) if state.node.is_machine else {}
    if not wanted or command.find("ipset") is None:
        return
    there, now = _names(), clock.now()
    lines = []
    for record in wanted.values():
        name = _set_of(ipaddress.ip_network(record["address"]))
        if name in there:
            lines.append(_add(name, record, now))
    _run("".join(lines))


def entries() -> list[dict[str, Any]]:
    """Return the members of the timed sets: set, address, seconds left (None: for ever), packets, bytes, comment."""
    if command.find("ipset") is None:
        return []
    found = []
    for name in sorted(_names()):
        if name.rstrip("46") in (BAN, AGAIN, OFTEN):
            result = command.run(("ipset", "save", name), seconds=60)
            found.extend(parse(result.out))
    return found


def parse(text: str) -> list[dict[str, Any]]:
    """Return the members in the output of ``ipset save``."""
    found = []
    for name, address, left, packets, size, comment in map(_fields, text.splitlines()):
        if name:
            found.append(
                {
                    "set": name,
                    "address": address,
                    "left": int(left) if left and int(left) else None,
                    "packets": int(packets) if packets is not None else None,
                    "bytes": int(size) if size is not None else None,
                    "comment": comment or "",
                }
            )
    return found


def _fields(line: str) -> tuple[Any, ...]:
    match = _ENTRY.match(line)
    return match.groups() if match else (None,) * 6


def _locked(state: State, request: dict[str, Any], what: str) -> Lock:
    if not state.node.is_machine:
        raise AgentError("unsupported", "a directory that stands for a node has no packet filter")
    if command.find("ipset") is None:
        raise AgentError("unsupported", "ipset is not installed", hint=_APPLY)
    return Lock(state.node, str(request.get("holder") or "?"), what, patience=PATIENCE)


_APPLY = "apply the site's firewall to this node first"


def _network(request: dict[str, Any]) -> Network:
    try:
        return ipaddress.ip_network(str(request.get("address")))
    except ValueError as error:
        raise AgentError("unsupported", f"{error}") from error


def _seconds(request: dict[str, Any]) -> int | None:
    found = request.get("seconds")
    if found is None:
        return None
    if not isinstance(found, int) or not 0 < found <= LONGEST:
        raise AgentError(
            "unsupported", f"a ban of {found!r} seconds makes no sense", hint=f"1 to {LONGEST}, or for ever"
        )
    return found


def _text(network: Network) -> str:
    """Return the network in ipset's own spelling."""
    whole = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if whole else str(network)


def _set_of(network: Network) -> str:
    return f"{BAN}{network.version}"


def _existing_set(network: Network) -> str:
    name = _set_of(network)
    if name not in _names():
        raise AgentError("unsupported", f"the node has no set {name}", hint=_APPLY, item=name)
    return name


def _names() -> set[str]:
    result = command.run(("ipset", "list", "-n"))
    if result.code:
        raise AgentError("unsupported", f"ipset list: {result.reason}")
    return set(result.out.split())


def _add(name: str, record: dict[str, Any], now: int) -> str:
    # 0 is for ever, so what has a second to go must not become that.
    left = 0 if record["until"] is None else max(1, min(LONGEST, record["until"] - now))
    comment = _SAFE.sub("_", f"{record['by']}: {record['reason']}")[:_LONGEST_COMMENT]
    return f'add {name} {record["address"]} timeout {left} comment "{comment}"\n'


def _run(lines: str) -> None:
    if not lines:
        return
    result = command.run(("ipset", "-exist", "restore"), data=lines.encode())
    if result.code:
        raise AgentError("io", f"ipset: {result.reason}", hint="ipset list -t on the node shows its sets")


def _store(state: State, found: dict[str, dict[str, Any]]) -> None:
    state.store(DOCUMENT, {"bans": list(found.values())} if found else None)


def _around(network: Network) -> list[str]:
    """Return the banned networks that hold ``network``."""
    found = []
    for entry in entries():
        other = ipaddress.ip_network(entry["address"])
        if (
            entry["set"].startswith(BAN) and other.version == network.version and network.subnet_of(other)  # type: ignore[arg-type]
        ):
            found.append(entry["address"])
    return found
