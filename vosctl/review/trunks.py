"""Trunks and their keys: encryption, key ids and what the ends accept; a key's value is never shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from vosctl.plan.risk import Risk
from vosctl.review.model import Area, Finding
from vosctl.review.same import Sameness
from vosctl.review.words import codecs, members, moved, said, some
from vosctl.site.model import Encryption, Key, Node, Trunk

_STRENGTH = tuple(Encryption)  # weakest first: none, xor, rc4, aes128, srtp
_PLAIN = (("proxy", "media proxy"), ("interface", "interface"), ("public", "crosses a public network:"))


def trunks(old: Node, new: Node, same: Sameness) -> Iterator[Finding]:
    """Yield what became of each trunk of a node, and of the keys that they name."""
    went = {name: each for name, each in old.trunks.items() if name not in new.trunks}
    renamed = dict(_renamed(went, new.trunks, same))
    for name in sorted({*old.trunks, *new.trunks}):
        if name in renamed:
            yield _finding(new.trunks[name], f"renamed from {renamed[name]}")
        elif name not in old.trunks:
            yield _finding(new.trunks[name], f"new, {_summary(new.trunks[name])}")
        elif name in went and name not in renamed.values():
            yield replace(_finding(went[name], "removed", Risk.DROPS_PEER), gone=True)
        elif name in new.trunks:
            yield from changed(old.trunks[name], new.trunks[name], same)
    yield from _keys(old, new)


def _renamed(
    went: Mapping[str, Trunk], new: Mapping[str, Trunk], same: Sameness
) -> Iterator[tuple[str, str]]:
    left = dict(went)
    for name, trunk in new.items():
        fitting = [each for each in left.values() if same(replace(each, name=name), trunk)]
        if len(fitting) == 1:
            yield name, left.pop(fitting[0].name).name


def _summary(trunk: Trunk) -> str:
    key = f" with key {trunk.key.name}" if trunk.key else ""
    return f"{' to '.join(trunk.ends)}, {said(trunk.encryption)}{key}"


def changed(old: Trunk, new: Trunk, same: Sameness) -> Iterator[Finding]:
    """Yield a finding for each property of a trunk that is another."""
    if same(old, new):
        return
    if {*old.ends} != {*new.ends}:
        yield _finding(new, f"ends {some(list(old.ends))} → {some(list(new.ends))}")
    yield from _encryption(old, new)
    if _names(old.accept[1:]) != _names(new.accept[1:]):
        text = members("accepts the keys", _names(old.accept[1:]), _names(new.accept[1:]))
        yield _finding(new, text)
    text, lost = codecs(old.codecs, new.codecs)
    if text:
        yield _finding(new, text, *((Risk.NARROWS_CODECS,) if lost else ()))
    for name, label in _PLAIN:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield _finding(new, moved(label, before, after))


def _encryption(old: Trunk, new: Trunk) -> Iterator[Finding]:
    """Mode and key: a key that the ends did not accept, in the mode it then has, is a sudden change."""
    staged = new.key is None or any(
        key.name == new.key.name and old.mode_of(key) is new.encryption for key in old.accept
    )
    if old.encryption is not new.encryption:
        weaker = _STRENGTH.index(new.encryption) < _STRENGTH.index(old.encryption)
        risks = (Risk.WEAKENS_ENCRYPTION,) if weaker else ()
        yield _finding(new, moved("encryption", old.encryption, new.encryption), *risks)
    if _name(old.key) != _name(new.key):
        unstaged = () if staged or old.key is None else (Risk.UNSTAGED_KEY,)
        same_value = old.key is not None and new.key is not None and old.key.value == new.key.value
        note = ", the same value" if same_value else ", which both ends accept already" if staged else ""
        yield _finding(new, moved("key id", _name(old.key), _name(new.key)) + note, *unstaged)


def _keys(old: Node, new: Node) -> Iterator[Finding]:
    """Yield keys whose value is another under the same id."""
    before, after = _all_keys(old), _all_keys(new)
    for name in sorted(before.keys() & after.keys()):
        if before[name].value != after[name].value:
            text = "another value under the same id"
            yield Finding(Area.KEY, f"key {name}", text, (Risk.REUSED_KEY_ID,), after[name].mark)


def _all_keys(node: Node) -> dict[str, Key]:
    return {key.name: key for trunk in node.trunks.values() for key in _held(trunk)}


def _held(trunk: Trunk) -> tuple[Key, ...]:
    return (*((trunk.key,) if trunk.key else ()), *trunk.accept)


def _names(keys: tuple[Key, ...]) -> tuple[str, ...]:
    return tuple(key.name for key in keys)


def _name(key: Key | None) -> str | None:
    return key.name if key else None


def _finding(trunk: Trunk, text: str, *risks: Risk) -> Finding:
    return Finding(Area.TRUNK, f"trunk {trunk.name}", text, risks, trunk.mark)
