"""Cross checks of encryption: keys that fit their mode, ciphers that fit their network, media that is relayed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

from vosctl.site.check.findings import Findings
from vosctl.site.model import Encryption, Key, Node, ProxyMode, Trunk
from vosctl.site.objects.fields import Fields
from vosctl.site.suggest import listed

_LENGTHS = {Encryption.XOR: (1, 256), Encryption.RC4: (16, 32), Encryption.AES128: (16, 16)}
_EXAMPLE = 19
_SHORT = 8


def check_keys(findings: Findings) -> None:
    """Check that keys have the length of their mode, are hard to guess, and serve one trunk each."""
    users: dict[Key, list[str]] = {}
    for trunk in findings.built.trunks.values():
        for key in trunk.accept:
            users.setdefault(key, []).append(trunk.name)
            _check_length(findings, trunk, key)
    for key, trunks in users.items():
        if len(trunks) > 1:
            message = (
                f"the key '{key.name}' serves the trunks {listed(trunks)}: who has it can hear all of them"
            )
            _warn(findings, "key-shared", key, message, hint="give every trunk a key of its own")
    values: dict[str, Key] = {}
    for key, facts in findings.built.key_facts.items():
        if facts.weakness:
            _warn(findings, "key-weak", key, f"the key '{key.name}' is easily guessed: {facts.weakness}")
        first = values.setdefault(key.value.fingerprint(), key)
        if first.name != key.name:
            message = f"the key '{key.name}' has the same value as '{first.name}'"
            _warn(findings, "key-repeated", key, message, hint="a rotation to the same value changes nothing")
        if not any(user.name == key.name for user in users):
            hint = "name it in key: or accept: of a trunk, or take it out"
            _warn(findings, "key-unused", key, f"no trunk uses the key '{key.name}'", hint=hint)


def check_ages(findings: Findings) -> None:
    """Check that the keys which new calls use are not older than the site wants them to be."""
    now = datetime.now(timezone.utc)
    for trunk in findings.built.trunks.values():
        key, most = trunk.key, trunk.max_age
        if key is None or most is None:
            continue
        hint = f"vosctl rotate-keys {trunk.name}"
        if key.created is None:
            message = f"nobody wrote when the key '{key.name}' of trunk '{trunk.name}' was made, and keys.max_age asks for it"
            findings.problems.warn("key-age", message, key.mark, path=f"keys.{key.name}.created", hint=hint)
        elif now - key.created > most:
            message = f"the key '{key.name}' of trunk '{trunk.name}' is {(now - key.created).days} days old, keys.max_age is {days(most)}"
            findings.problems.warn("key-age", message, key.mark, path=f"keys.{key.name}.created", hint=hint)


def days(length: timedelta) -> str:
    """Return a length of time in days, or in hours where it is shorter."""
    if length < timedelta(days=1):
        return f"{length / timedelta(hours=1):g} h"
    return f"{length / timedelta(days=1):g} days"


def check_ciphers(findings: Findings) -> None:
    """Check that the cipher holds on the trunk's network."""
    for name, trunk in findings.built.trunks.items():
        fields = findings.built.trunk_fields[name]
        if trunk.public:
            _check_public(fields, trunk)
        if trunk.encryption is Encryption.NONE and trunk.key is not None:
            message = f"trunk '{name}' has a key but encryption none: media crosses it in the clear"
            fields.warn(
                "key-without-cipher", message, key="key", hint="add encryption: aes128, or take key out"
            )
        _check_modes(fields, trunk)


def _check_modes(fields: Fields, trunk: Trunk) -> None:
    """Check that new calls use a key of the trunk's own mode, and that a key beside SRTP has a mode."""
    key = trunk.key
    if key is not None and trunk.encryption in _LENGTHS and trunk.mode_of(key) is not trunk.encryption:
        message = f"the key '{key.name}' is for {trunk.mode_of(key).value}, the trunk '{trunk.name}' is {trunk.encryption.value}"
        hint = f"encryption: {trunk.mode_of(key).value}, or take the key's mode out"
        fields.error("key-mode", message, key="key", hint=hint)
    if trunk.encryption is Encryption.SRTP and key is not None:
        message = f"trunk '{trunk.name}' is srtp, which agrees on keys itself, call by call: '{key.name}' is for nothing"
        fields.warn(
            "key-mode", message, key="key", hint="take key out; one that calls still use belongs into accept"
        )
    for other in trunk.accept:
        if trunk.encryption is Encryption.SRTP and other.mode is None and other != key:
            message = f"trunk '{trunk.name}' is srtp and accepts the key '{other.name}', which does not say its mode"
            hint = f"keys: {{{other.name}: {{mode: aes128}}}}, or the mode that the trunk had"
            fields.warn("key-mode", message, key="accept", hint=hint)


def _check_public(fields: Fields, trunk: Trunk) -> None:
    if trunk.encryption is Encryption.NONE:
        message = f"trunk '{trunk.name}' crosses a public network without encryption"
        fields.warn("trunk-plain-public", message, key="public", hint="add encryption: aes128 and a key")
    elif trunk.encryption in (Encryption.XOR, Encryption.RC4):
        weakness = {
            Encryption.XOR: "a few packets of silence give the key away",
            Encryption.RC4: "its keystream is known to be biased",
        }[trunk.encryption]
        message = f"{trunk.encryption.value} does not hold on a public network: {weakness}"
        fields.warn("cipher-public", message, key="encryption", hint="use aes128")


def check_media_path(findings: Findings) -> None:
    """Check that a node with an encrypted trunk runs its relay and sends all media through it."""
    proxies: dict[int, list[tuple[str, ProxyMode]]] = {}
    for node in findings.nodes():
        encrypted = [t.name for t in node.trunks.values() if t.encryption is not Encryption.NONE]
        if not encrypted:
            continue
        if not node.relay.enabled:
            message = f"the relay is off, but encrypts the trunk {listed(encrypted)}"
            findings.error(node, "relay-off", message, "relay", "enabled", hint="relay: {enabled: true}")
        if id(node.gateways) not in proxies:
            proxies[id(node.gateways)] = list(_bypassing(node))
        for gateway, mode in proxies[id(node.gateways)]:
            _report_bypass(findings, node, gateway, mode)


def _bypassing(node: Node) -> Iterator[tuple[str, ProxyMode]]:
    for gateway in node.gateways.values():
        if gateway.proxy in (ProxyMode.OFF, ProxyMode.AUTO):
            yield gateway.name, gateway.proxy


def _report_bypass(findings: Findings, node: Node, gateway: str, mode: ProxyMode) -> None:
    tree = findings.built.fields[node.name]
    own = "proxy" in tree.below("gateways").below(gateway).below("media")
    path = ("gateways", gateway, "media", "proxy") if own else ("media", "proxy")
    who = f"of '{gateway}' " if own else ""
    if mode is ProxyMode.OFF:
        message = f"media {who}goes past the relay, which encrypts the trunks"
        findings.error(node, "proxy-off", message, *path, hint='write proxy: must_on, or "on"')
    else:
        message = f"media {who}may go past the relay, which encrypts the trunks"
        findings.warn(node, "proxy-auto", message, *path, hint="write proxy: must_on")


def _check_length(findings: Findings, trunk: Trunk, key: Key) -> None:
    encryption = trunk.mode_of(key)
    limits = _LENGTHS.get(encryption)
    if limits is None:
        return
    low, high = limits
    length, mode = len(key.value), encryption.value
    if low <= length <= high:
        if encryption is Encryption.XOR and length < _SHORT:
            message = f"the key '{key.name}' is easily guessed: it has only {length} characters"
            _warn(findings, "key-weak", key, message, hint="use 16 or more")
        return
    wanted = f"exactly {low}" if low == high else f"{low} to {high}"
    message = (
        f"{mode} takes a key of {wanted} characters; '{key.name}', used by trunk '{trunk.name}', has {length}"
    )
    hint = f"use {wanted} random letters and digits"
    if encryption is Encryption.AES128:
        hint = f"AES-128 means 16 bytes: {f'{length - 16} too many' if length > high else f'{16 - length} too few'}"
        if length == _EXAMPLE:
            hint += "; the 19-character example that vendor guides give for AES128 never worked"
    findings.problems.error("key-length", message, key.mark, path=f"keys.{key.name}.value", hint=hint)


def _warn(findings: Findings, rule: str, key: Key, message: str, *, hint: str = "") -> None:
    hint = hint or "use random letters and digits"
    findings.problems.warn(rule, message, key.mark, path=f"keys.{key.name}.value", hint=hint)
