"""What becomes of an unwanted packet: dropped, and now and then reported with the reason first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vosctl.firewall import ir
from vosctl.firewall.policy import Policy
from vosctl.site.filtering import LogTo

PREFIX = "VOS-DROP-"
_BURST = 3
_PATH = "firewall.log"


def target(policy: Policy, reason: str) -> ir.Target:
    """Return the target that drops for a ``reason`` (one word in small letters)."""
    if policy.firewall.log.to is LogTo.NONE:
        return ir.Verdict.DROP
    return ir.Jump(f"{PREFIX}{reason.upper()}")


def rule(
    policy: Policy, reason: str, path: str, purpose: str, *matches: ir.Match, protocol: str | None = None
) -> ir.Rule:
    """Return the rule that drops what ``matches`` for a ``reason``."""
    return ir.Rule(target(policy, reason), ir.Origin(path, purpose), protocol, matches=matches)


def chains(policy: Policy, users: Iterable[ir.Chain]) -> Iterator[ir.Chain]:
    """Yield a chain for each reason for which the rules of ``users`` drop."""
    logging = policy.firewall.log
    group = logging.group if logging.to is LogTo.NFLOG else None
    names = {each.target.chain for chain in users for each in chain.rules if isinstance(each.target, ir.Jump)}
    for name in sorted(name for name in names if name.startswith(PREFIX)):
        reason = name.removeprefix(PREFIX).lower()
        log = ir.Rule(
            ir.Log(f"vos:{reason}", group),
            ir.Origin(_PATH, f"{logging.rate} samples a minute"),
            matches=(ir.Limit(logging.rate, _BURST),),
        )
        drop = ir.Rule(ir.Verdict.DROP, ir.Origin(_PATH, f"dropped: {reason}"))
        yield ir.Chain("filter", name, (log, drop))
