"""Reads iptables-restore input into typed rules; a match it does not know becomes an unmodelled one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from vosctl.firewall.simulate.matches import MODULES, Option, basic, is_basic
from vosctl.firewall.simulate.rules import Chains, Condition, Rule, Target, Unmodelled

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)')
_FREE_TEXT = frozenset({"--comment", "--string", "--hex-string", "--log-prefix", "--nflog-prefix", "--u32"})
_JUMPS = {"-j": False, "--jump": False, "-g": True, "--goto": True}
_PROTOCOL_MODULES = {"icmpv6": "icmp6", "ipv6-icmp": "icmp6"}


@lru_cache(maxsize=256)
def parse(text: str) -> Chains:
    """Return the rules of restore input, chains without a rule included.

    Raises ValueError with the line where the text is not restore input.
    """
    chains: dict[tuple[str, str], list[Rule]] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":"):
            chains.setdefault((table, line[1:].split()[0]), [])
        elif line.startswith("-A "):
            words = _words(line)
            found = chains.setdefault((table, words[1]), [])
            found.append(_rule(line, table, words, len(found) + 1))
    return {place: tuple(rules) for place, rules in chains.items()}


def _words(line: str) -> list[str]:
    rest = _WORD.sub("", line)
    if rest.strip():
        raise ValueError(f"a quote is not closed: {line}")
    return [bare or re.sub(r"\\(.)", r"\1", quoted) for quoted, bare in _WORD.findall(line)]


def _rule(line: str, table: str, words: list[str], number: int) -> Rule:
    options = list(_options(words[2:]))
    jump = next((index for index, option in enumerate(options) if option.name in _JUMPS), len(options))
    target = Target("", {})
    if jump < len(options):
        head, *rest = options[jump:]
        if not head.arguments:
            raise ValueError(f"a rule jumps nowhere: {line}")
        target = Target(
            head.arguments[0], {option.name: option.arguments for option in rest}, _JUMPS[head.name]
        )
    conditions: list[Condition] = []
    comment = ""
    for module, group in _groups(options[:jump]):
        if module == "comment":
            comment = next((o.arguments[0] for o in group if o.name == "--comment" and o.arguments), "")
        else:
            conditions += _conditions(module, group)
    return Rule(line, table, words[1], number, tuple(conditions), target, comment)


def _options(words: list[str]) -> Iterator[Option]:
    index = 0
    while index < len(words):
        negated = words[index] == "!"
        index += negated
        if index >= len(words):
            raise ValueError("a rule ends after '!'")
        name, index = words[index], index + 1
        end = index + 1 if name in _FREE_TEXT else index
        while end < len(words) and name not in _FREE_TEXT and not _is_option(words[end]):
            end += 1
        yield Option(negated, name, tuple(words[index:end]))
        index = end


def _is_option(word: str) -> bool:
    return word == "!" or (word.startswith("-") and len(word) > 1)


def _groups(options: list[Option]) -> Iterator[tuple[str, list[Option]]]:
    """Yield each match module with its options; basic options stand alone under an empty name."""
    module, protocol = "", ""
    group: list[Option] = []
    for option in options:
        if is_basic(option):
            if option.name in ("-p", "--protocol") and option.arguments:
                protocol = option.arguments[0]
            yield "", [option]
        elif option.name in ("-m", "--match"):
            if group or module:
                yield module, group
            module, group = option.arguments[0] if option.arguments else "", []
        else:
            module = module or _PROTOCOL_MODULES.get(protocol, protocol)
            group.append(option)
    if group or module:
        yield module, group


def _conditions(module: str, group: list[Option]) -> list[Condition]:
    try:
        if not module:
            return [basic(group[0])]
        return list(MODULES[module](group))
    except (KeyError, ValueError, IndexError):
        text = " ".join((f"-m {module}" if module else "", *(option.text for option in group))).strip()
        return [Condition(Unmodelled(text), negated=False, text=text)]
