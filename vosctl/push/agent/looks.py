"""The last look at the kernel's rules, which holds as long as nobody changes any.

nf_tables counts every commit, whoever makes it. So a look is kept for the next one: in this process, and in /run for
the next. The legacy backend counts nothing; there every look is a new one.
"""

from __future__ import annotations

import os
import sys

from vosctl.push.agent import glance, iptables, rules
from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PLACE = f"{glance.RUN}/rules-{sys.hexversion:x}"
# Up to so many chains of a family are listed one by one after a load; a whole save costs as much as five.
FEW = 3

_LAST: list[tuple[Any, iptables.Kernel]] = []


def look() -> iptables.Kernel:
    """Return what the kernel holds; raises AgentError where iptables is missing, refused or in two minds."""
    mark = _mark()
    if mark is not None:
        if not _LAST or _LAST[0][0] != mark:
            _LAST[:] = _read(mark)
        if _LAST:
            return _LAST[0][1]
    kernel = iptables.look()
    # Whatever moved while it looked counts for the next look.
    _keep(mark if mark is not None and _mark() == mark else None, kernel)
    return kernel


def load(inputs: dict[int, str], replaced: dict[int, rules.Replaced | None]) -> None:
    """Load restore input by family; raises AgentError quoting the line that the kernel refused.

    ``replaced`` says by family (``rules.replaced``) of which chains the input replaces the rules and nothing else,
    None where it does more. Where few of these have to be listed and nobody else changes rules meanwhile, the next
    look needs no whole save.
    """
    kernel = look()
    before = _mark()
    for family, text in inputs.items():
        iptables.load(kernel.backend, family, text)
    after = _mark()
    commits = sum(text.splitlines().count("COMMIT") for text in inputs.values())
    chains = {family: found for family, found in replaced.items() if inputs.get(family)}
    if before is None or after is None or after != [before[0] + commits, *before[1:]]:
        return
    if any(found is None or _unknown(found) > FEW for found in chains.values()):
        return
    try:
        own = {family: _relisted(kernel, family, chains.get(family) or {}) for family in kernel.own}
    except AgentError:
        return
    _keep(after if _mark() == after else None, iptables.Kernel(kernel.backend, kernel.version, own))


def _unknown(replaced: rules.Replaced) -> int:
    return sum(body is None for chains in replaced.values() for body in chains.values())


def _relisted(kernel: iptables.Kernel, family: int, chains: rules.Replaced) -> rules.Tables:
    """Return the own tables of a family with the rules of some chains as they are now."""
    tables = dict(kernel.own[family])
    for name, changed in chains.items():
        held = rules.Table.of(tables[name].record())
        bodies = rules.bodies(held)
        for chain, body in changed.items():
            bodies[chain] = iptables.listed(kernel.backend, family, name, chain) if body is None else body
        held.rules = [rule for found in bodies.values() for rule in found]
        tables[name] = held
    return tables


def _mark() -> Any:
    """Return what a look rests on, None where the kernel does not tell or legacy, which counts nothing, has tables."""
    if any(map(iptables.legacy_tables, iptables.PROGRAMS)):
        return None
    try:
        places = glance.evidence({"paths": glance.PLACES, "reads": (), "sets": None})
        return [int.from_bytes(places.pop()[4:], "big"), places]
    except (OSError, ValueError, IndexError):
        return None


def _keep(mark: Any, kernel: iptables.Kernel) -> None:
    import marshal  # noqa: PLC0415  not where a look is still good

    _LAST[:] = [(mark, kernel)] if mark is not None else []
    if mark is None or os.geteuid():
        return
    own = {
        family: {name: table.record() for name, table in found.items()}
        for family, found in kernel.own.items()
    }
    data = marshal.dumps((mark, kernel.backend, kernel.version, own))
    new = PLACE + ".new"
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            written = os.write(descriptor, data)
        finally:
            os.close(descriptor)
        if written == len(data):
            os.replace(new, PLACE)
    except OSError:
        return


def _read(mark: Any) -> list[tuple[Any, iptables.Kernel]]:
    """Return the look of an earlier process where it was taken at the same mark."""
    import marshal  # noqa: PLC0415

    try:
        with open(PLACE, "rb", 0) as stream:
            status = os.fstat(stream.fileno())
            if status.st_uid or status.st_mode & 0o022:
                return []
            then, backend, version, own = marshal.loads(stream.read())  # noqa: S302  root's own, by this very agent
        if then != mark:
            return []
        tables = {
            family: {name: rules.Table.of(record) for name, record in found.items()}
            for family, found in own.items()
        }
    except (OSError, ValueError, EOFError, TypeError, IndexError, AttributeError):
        return []
    return [(mark, iptables.Kernel(backend, version, tables))]
