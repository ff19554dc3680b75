"""Builds trunks: each is one object for both its ends."""

from __future__ import annotations

from collections.abc import Mapping

from vosctl.site.model import Encryption, Key, Trunk
from vosctl.site.objects.fields import Fields
from vosctl.site.objects.media import build_proxy
from vosctl.site.suggest import did_you_mean, listed
from vosctl.site.tree import Mark


def build_trunk(name: str, fields: Fields, mark: Mark, keys: Mapping[str, Key | None]) -> Trunk | None:
    """Return the trunk; None (and a problem) where it does not join two nodes.

    ``keys`` are the keys that its two ends know, None for one that is wrong itself. ``accept`` of the result begins with the current key.
    """
    ends = fields.texts("ends")
    if len(ends) != 2:
        if "ends" not in fields:
            message = f"trunk '{name}' lacks ends"
            hint = "ends: [edge-a, edge-b] names its two nodes"
            fields.problems.error("missing-key", message, mark, path=fields.path, hint=hint)
        return None
    text = fields.text("encryption")
    encryption = next((mode for mode in Encryption if mode.value == text), Encryption.NONE)
    key = _current(fields, keys)
    if encryption is not Encryption.NONE and "key" not in fields and encryption is not Encryption.SRTP:
        message = f"trunk '{name}' is encrypted with {encryption.value} but has no key"
        hint = f"key: one of {listed(keys)}" if keys else "define a key in keys and name it: key: NAME"
        fields.problems.error("trunk-key", message, mark, path=fields.path, hint=hint)
    return Trunk(
        name=name,
        ends=(ends[0], ends[1]),
        encryption=encryption,
        key=key,
        accept=_accepted(fields, key, keys),
        codecs=fields.texts("codecs"),
        public=fields.boolean("public", default=False),
        mark=mark,
        proxy=build_proxy(fields),
        interface=fields.text("interface"),
    )


def _current(fields: Fields, keys: Mapping[str, Key | None]) -> Key | None:
    name = fields.text("key")
    if name is None:
        return None
    _check_known(fields, fields.at("key"), fields.mark("key"), name, keys)
    return keys.get(name)


def _accepted(fields: Fields, current: Key | None, keys: Mapping[str, Key | None]) -> tuple[Key, ...]:
    accepted = [current] if current is not None else []
    for path, item in fields.scalars("accept"):
        _check_known(fields, path, item.mark, item.text, keys)
        key = keys.get(item.text)
        if key is not None and key not in accepted:
            accepted.append(key)
    return tuple(accepted)


def _check_known(fields: Fields, path: str, mark: Mark, name: str, keys: Mapping[str, Key | None]) -> None:
    if name not in keys:
        message = f"no key is named '{name}'{did_you_mean(name, keys)}"
        hint = f"known keys: {listed(keys)}" if keys else f"define it: keys: {{{name}: {{value: …}}}}"
        fields.problems.error("unknown-key-name", message, mark, path=path, hint=hint)
