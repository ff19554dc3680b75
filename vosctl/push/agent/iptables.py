"""The kernel's iptables: which backend, what it holds, checking rules before and loading them."""

from __future__ import annotations

import os
import re

from vosctl.push.agent import command, rules
from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAMS = {4: "iptables", 6: "ip6tables"}
WAIT = "10"
_NAMES = {4: "/proc/net/ip_tables_names", 6: "/proc/net/ip6_tables_names"}
_VERSION = re.compile(r"v(\d[\w.]*)")


class Kernel:
    """One look at the kernel's rules of both families through the backend in use; ``own`` is the own part of each."""

    def __init__(self, backend: str, version: str, own: dict[int, rules.Tables]) -> None:
        self.backend = backend
        self.version = version
        self.own = own
        self._texts: dict[int, str] = {}

    def own_text(self, family: int) -> str:
        """Return the own part of a family as comparable text."""
        if family not in self._texts:
            self._texts[family] = rules.render(self.own[family])
        return self._texts[family]


def look() -> Kernel:
    """Return what the kernel holds; raises AgentError where iptables is missing, refused or in two minds."""
    default, version = _default_backend()
    other = "legacy" if default == "nft" else "nft"
    saves = {backend: _saves(backend) for backend in (default, other)}
    holding = [backend for backend, found in saves.items() if any(map(rules.foreign_rules, found.values()))]
    if len(holding) == 2:
        raise AgentError(
            "unsupported",
            "both backends of iptables hold rules (nft and legacy), so neither tells what is really filtered",
            hint=f"empty one of them: compare iptables-{other}-save with iptables-{default}-save",
        )
    backend = holding[0] if holding else default
    found = saves[backend] or dict.fromkeys(PROGRAMS, "")
    return Kernel(backend, version, {family: rules.parse(text) for family, text in found.items()})


def _default_backend() -> tuple[str, str]:
    if command.find("iptables") is None or command.find("ip6tables") is None:
        raise AgentError("unsupported", "iptables is not installed", hint="list iptables in packages")
    said = command.run(("iptables", "--version"))
    if said.code:
        raise AgentError("unsupported", f"iptables: {said.reason}")
    version = _VERSION.search(said.out)
    return "nft" if "nf_tables" in said.out else "legacy", version.group(1) if version else ""


def _saves(backend: str) -> dict[int, str]:
    return {family: _save(backend, family) for family in PROGRAMS}


def _save(backend: str, family: int) -> str:
    # Asking legacy loads its kernel modules, so it is asked only when it has tables already.
    if backend == "legacy" and not legacy_tables(family):
        return ""
    name = program(backend, family, "save")
    if command.find(name) is None:
        return ""
    result = command.run((name,), seconds=60)
    if result.code:
        raise AgentError(
            "denied" if os.geteuid() else "unsupported", f"{name}: {result.reason}", hint=_hint(result.reason)
        )
    if "is incompatible, use 'nft' tool" in result.out + result.err:
        raise AgentError(
            "unsupported",
            f"{name}: nft rules that iptables cannot show live in its tables",
            hint="move them to a table of their own: nft list ruleset",
        )
    return result.out


def legacy_tables(family: int) -> bool:
    """Return whether the legacy backend has tables of a family."""
    try:
        with open(_NAMES[family], encoding="ascii") as stream:
            return bool(stream.read().strip())
    except OSError:
        return False


def listed(backend: str, family: int, table: str, chain: str) -> list[str]:
    """Return the rules of one chain as a save has them; raises AgentError."""
    name = f"{PROGRAMS[family]}-{backend}"
    name = name if command.find(name) else PROGRAMS[family]
    result = command.run((name, "-w", WAIT, "-t", table, "-S", chain))
    if result.code:
        raise AgentError("io", f"{name}: {result.reason}", hint=_hint(result.reason))
    return [line for line in result.out.splitlines() if line.startswith("-A ")]


def program(backend: str, family: int, verb: str) -> str:
    """Return the name of a backend's program, the plain name where there is only one backend."""
    name = f"{PROGRAMS[family]}-{backend}-{verb}"
    return name if command.find(name) else f"{PROGRAMS[family]}-{verb}"


def test(backend: str, family: int, text: str) -> None:
    """Let iptables-restore parse the input without loading it; raises AgentError quoting the line."""
    _restore((program(backend, family, "restore"), "--test", "--noflush", "-w", WAIT), family, text)


def load(backend: str, family: int, text: str) -> None:
    """Load restore input; raises AgentError quoting the line that the kernel refused.

    Each table changes at once or not at all; with several tables an error may leave the first changed.
    """
    _restore((program(backend, family, "restore"), "--noflush", "-w", WAIT), family, text)


def _restore(arguments: tuple[str, ...], family: int, text: str) -> None:
    result = command.run(arguments, data=text.encode(), seconds=60)
    if result.code:
        raise refused(family, text, result.reason)


def rehearse(backend: str, sets: str, inputs: Mapping[int, str]) -> bool:
    """Load sets and rules in a throw-away network namespace; raises AgentError when the kernel refuses one.

    Finds what ``--test`` lets pass: jumps to missing chains, targets of other tables, missing matches.
    Return whether the namespace took them all; where none can be made, loading itself will tell.
    """
    if command.find("unshare") is None:
        return False
    if _rehearse_all(backend, sets, inputs):
        return True
    if command.run(("unshare", "-n", "true")).code:
        return False
    if sets:
        result = _in_namespace('ipset restore <"$1"', [sets])
        if result.code:
            from vosctl.push.agent import ipsets  # noqa: PLC0415  only on the way to an error

            raise AgentError(
                "unsupported",
                ipsets.refusal(sets, result.reason),
                hint=ipsets.HINT_SET,
                step="check",
                item="sets",
            )
    for family, text in inputs.items():
        reason = _rehearse_one(backend, family, sets, text)
        if reason:
            raise refused(family, _up_to_culprit(backend, family, sets, text), reason)
    return False


def _rehearse_all(backend: str, sets: str, inputs: Mapping[int, str]) -> bool:
    """Return whether a fresh namespace takes the sets and the rules of all families."""
    families = list(inputs)
    steps = ['ipset restore <"$1"'] if sets else []
    for number in range(len(families)):
        text, restore = 2 + number, 2 + len(families) + number
        steps.append(f'"${{{restore}}}" --noflush -w {WAIT} <"${{{text}}}"')
    programs = [program(backend, family, "restore") for family in families]
    texts = [inputs[family] for family in families]
    return not steps or _in_namespace(" && ".join(steps), [sets, *texts], *programs).code == 0


def _rehearse_one(backend: str, family: int, sets: str, text: str) -> str:
    """Return what the kernel said to rules in a fresh namespace, "" when it took them."""
    script = f'exec "$3" --noflush -w {WAIT} <"$2"'
    if sets:
        script = 'ipset restore <"$1" && ' + script
    result = _in_namespace(script, [sets, text], program(backend, family, "restore"))
    return result.reason if result.code else ""


def _up_to_culprit(backend: str, family: int, sets: str, text: str) -> str:
    """Return the input up to the rule that makes it fail, the shortest that fails."""
    lines = text.splitlines()
    places = [number for number, line in enumerate(lines) if line.startswith("-A ")]
    low, high = 0, len(places)
    while low < high:
        middle = (low + high) // 2
        skipped = set(places[middle + 1 :])
        attempt = "".join(line + "\n" for number, line in enumerate(lines) if number not in skipped)
        if _rehearse_one(backend, family, sets, attempt):
            high = middle
        else:
            low = middle + 1
    return "\n".join(lines[: places[low] + 1] if low < len(places) else lines)


def _in_namespace(script: str, inputs: list[str], *more: str) -> command.Result:
    files = [command.memory_file("input", text.encode()) for text in inputs]
    try:
        paths = [f"/proc/{os.getpid()}/fd/{descriptor}" for descriptor in files]
        return command.run(("unshare", "-n", "/bin/sh", "-c", script, "sh", *paths, *more), seconds=120)
    finally:
        for descriptor in files:
            os.close(descriptor)


def refused(family: int, text: str, reason: str) -> AgentError:
    """Return an error that quotes the line of restore input that iptables complained of.

    When it complains of the end of a table, the last line of ``text`` is quoted.
    """
    number = re.search(r"line:? (\d+)", reason)
    lines = text.splitlines()
    quote = ""
    if number and lines:
        quote = f" “{lines[min(int(number.group(1)), len(lines)) - 1]}”"
    message = f"the kernel refused the IPv{family} rule{quote}: {reason}"
    return AgentError("unsupported", message, hint=_hint(reason), item=f"v{family}", step="rulesets")


def _hint(reason: str) -> str:
    low = reason.lower()
    if "xtables lock" in low or "resource temporarily unavailable" in low:
        return "another program holds the xtables lock (fuser /run/xtables.lock): wait for it"
    if "permission denied" in low or "not permitted" in low:
        return "the login needs root and CAP_NET_ADMIN: set become: true"
    return "nothing was changed; the rule names a chain, set, match or target that this kernel does not have"
