"""Typed rules to ``iptables-restore`` input, in the spelling in which ``iptables-save`` gives it back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from vosctl.compile.desired import Hook, Ruleset
from vosctl.firewall import ir
from vosctl.firewall.spelling import network_text
from vosctl.site.model import Network, PortRange

_TABLES = ("raw", "mangle", "nat", "filter")
_ICMP = {4: ("icmp", "icmp", "--icmp-type"), 6: ("ipv6-icmp", "icmp6", "--icmpv6-type")}
_PORT_OPTIONS = {ir.Side.SOURCE: "sport", ir.Side.DESTINATION: "dport", ir.Side.EITHER: "port"}
_LONGEST_COMMENT = 255  # XT_MAX_COMMENT_LEN less the final NUL
_PRINTABLE = re.compile(r"[ !#-\[\]-~]+")
_UNSAFE = re.compile(r"[^A-Za-z0-9 ._:,;/+=@()\[\]-]")


def ruleset(program: ir.Program) -> Ruleset:
    """Return the program as restore input of own chains only (for ``--noflush``) with its hooks."""
    hooks = tuple(ir_hook for chain in program.chains if (ir_hook := _hook(chain)) is not None)
    tables = (_table(name, program) for name in _TABLES)
    return Ruleset(program.family, "".join(tables), hooks)


def rule_text(chain: str, rule: ir.Rule, family: int) -> str:
    """Return the rule as one ``-A`` line without the line's end."""
    words = [f"-A {chain}", *_basics(rule, family)]
    words += [_match(match, rule, family) for match in rule.matches]
    words.append(f'-m comment --comment "{_comment(rule.origin)}"')
    words.append(f"-j {_target(rule.target)}")
    return " ".join(words)


def _hook(chain: ir.Chain) -> Hook | None:
    return Hook(chain.table, chain.parent, chain.name) if chain.parent else None


def _table(name: str, program: ir.Program) -> str:
    chains = [chain for chain in program.chains if chain.table == name]
    if not chains:
        return ""
    lines = [f"*{name}", *(f":{chain.name} - [0:0]" for chain in chains)]
    lines += [rule_text(chain.name, rule, program.family) for chain in chains for rule in chain.rules]
    return "\n".join((*lines, "COMMIT", ""))


def _basics(rule: ir.Rule, family: int) -> list[str]:
    words = []
    if rule.source is not None:
        words.append(f"-s {_network(rule.source)}")
    if rule.destination is not None:
        words.append(f"-d {_network(rule.destination)}")
    if rule.interface is not None:
        words.append(f"-i {rule.interface}")
    if rule.protocol is not None:
        words.append(f"-p {_ICMP[family][0] if rule.protocol == 'icmp' else rule.protocol}")
    return words


def _network(network: Network) -> str:
    text = network_text(network)
    return text if "/" in text else f"{text}/{network.prefixlen}"


def _comment(origin: ir.Origin) -> str:
    return _UNSAFE.sub("_", f"{origin.path}: {origin.purpose}")[:_LONGEST_COMMENT]


def _target(target: ir.Target) -> str:
    return _TARGETS[type(target)](target)


def _log(target: ir.Log) -> str:
    if target.group is None:
        return f'LOG --log-prefix "{target.prefix} "'
    return f'NFLOG --nflog-prefix "{target.prefix}" --nflog-group {target.group}'


def _add_to_set(target: ir.AddToSet) -> str:
    direction = "dst,dst" if target.answered else "src"
    return f"SET --add-set {target.name} {direction} --exist --timeout {target.timeout}"


_TARGETS: Mapping[type, Callable[[Any], str]] = {
    ir.Verdict: lambda target: str(target.value),
    ir.Jump: lambda target: str(target.chain),
    ir.NoTrack: lambda _target: "CT --notrack",
    ir.SetDscp: lambda target: f"DSCP --set-dscp 0x{target.value:02x}",
    ir.Log: _log,
    ir.AddToSet: _add_to_set,
}


def _range(ports: PortRange) -> str:
    return f"{ports.first}" if ports.first == ports.last else f"{ports.first}:{ports.last}"


def _ports(match: ir.Ports, rule: ir.Rule, _family: int) -> str:
    option = _PORT_OPTIONS[match.side]
    alone = not any(isinstance(each, ir.Flags | ir.NotSyn) for each in rule.matches)  # nft merges the two
    if len(match.ranges) == 1 and match.side is not ir.Side.EITHER and alone:
        return f"-m {rule.protocol} --{option} {_range(match.ranges[0])}"
    return f"-m multiport --{option}s {','.join(_range(ports) for ports in match.ranges)}"


def _in_set(match: ir.InSet, _rule: ir.Rule, _family: int) -> str:
    negation = "! " if match.negated else ""
    return f"-m set {negation}--match-set {match.name} {'src,src' if match.with_port else 'src'}"


def _text(match: ir.Text, _rule: ir.Rule, _family: int) -> str:
    case = " --icase" if match.any_case else ""
    bounds = f"--algo {match.algorithm.value} --from {match.first} --to {match.last}"
    if _PRINTABLE.fullmatch(match.text):
        return f'-m string --string "{match.text}" {bounds}{case}'
    return f'-m string --hex-string "|{match.text.encode().hex()}|" {bounds}{case}'


def _above(match: ir.Above, _rule: ir.Rule, family: int) -> str:
    mask = "" if match.prefix == _address_bits(family) else f" --hashlimit-srcmask {match.prefix}"
    return (
        f"-m hashlimit --hashlimit-above {match.rate}/sec --hashlimit-burst {match.burst} --hashlimit-mode srcip --hashlimit-name {match.name}"
        f" --hashlimit-htable-size {match.buckets} --hashlimit-htable-max {match.entries}"
        f" --hashlimit-htable-expire {match.expire}{mask}"
    )


def _connections(match: ir.ConnectionsAbove, _rule: ir.Rule, _family: int) -> str:
    return f"-m connlimit --connlimit-above {match.count} --connlimit-mask {match.prefix} --connlimit-saddr"


def _state(match: ir.State, _rule: ir.Rule, _family: int) -> str:
    direction = " --ctdir ORIGINAL" if match.original else ""
    return f"-m conntrack --ctstate {','.join(match.states)}{direction}"


def _limit(match: ir.Limit, _rule: ir.Rule, _family: int) -> str:
    return f"-m limit --limit {match.rate}/min --limit-burst {match.burst}"


def _flags(match: ir.Flags, _rule: ir.Rule, _family: int) -> str:
    return f"-m tcp --tcp-flags {','.join(match.examined)} {','.join(match.present) or 'NONE'}"


def _not_syn(_match: ir.NotSyn, _rule: ir.Rule, _family: int) -> str:
    return "-m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN"


def _longer(match: ir.Longer, _rule: ir.Rule, _family: int) -> str:
    return f"-m length --length {match.size + 1}:65535"


def _extra_headers(_match: ir.ExtraHeaders, _rule: ir.Rule, family: int) -> str:
    # IPv4: the header length is not five words. IPv6: the next header is not UDP itself.
    test = "0x0>>0x18&0xf=0x5" if family == 4 else "0x4>>0x8&0xff=0x11"
    return f'-m u32 ! --u32 "{test}"'


def _leading_blank(_match: ir.LeadingBlank, _rule: ir.Rule, family: int) -> str:
    return f'-m u32 --u32 "0x{ir.payload_offset(family):x}>>0x18=0x9:0xd,0x20"'


def _icmp_type(match: ir.IcmpType, _rule: ir.Rule, family: int) -> str:
    _, module, option = _ICMP[family]
    return f"-m {module} {option} {match.number}"


def _hop_limit(match: ir.HopLimit, _rule: ir.Rule, _family: int) -> str:
    return f"-m hl --hl-eq {match.value}"


def _dscp(match: ir.Dscp, _rule: ir.Rule, _family: int) -> str:
    return f"-m dscp --dscp 0x{match.value:02x}"


_MATCHES: Mapping[type, Callable[[Any, ir.Rule, int], str]] = {
    ir.Ports: _ports,
    ir.InSet: _in_set,
    ir.Text: _text,
    ir.Above: _above,
    ir.ConnectionsAbove: _connections,
    ir.State: _state,
    ir.Limit: _limit,
    ir.Flags: _flags,
    ir.NotSyn: _not_syn,
    ir.Longer: _longer,
    ir.ExtraHeaders: _extra_headers,
    ir.LeadingBlank: _leading_blank,
    ir.IcmpType: _icmp_type,
    ir.HopLimit: _hop_limit,
    ir.Dscp: _dscp,
}


def _match(match: ir.Match, rule: ir.Rule, family: int) -> str:
    return _MATCHES[type(match)](match, rule, family)


def _address_bits(family: int) -> int:
    return 32 if family == 4 else 128
