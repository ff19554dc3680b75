"""Which trunk keys the relays hold: asked by fingerprint, and held against the site and against the other end."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from vosctl.push.host import Host
from vosctl.push.operations import failure, request, without_op
from vosctl.push.result import HostResult, Status
from vosctl.secret import Secret
from vosctl.site.model import Encryption, Key, Trunk

_SALT_BYTES = 32


def new_salt() -> Secret:
    """Return a salt for one look at the nodes; with it and a fingerprint a short key can be guessed."""
    return Secret(secrets.token_hex(_SALT_BYTES))


class AskKeys(Struct, frozen=True):
    """Asks a node's relay for its trunks' keys, fingerprinted under ``salt``."""

    salt: Secret

    def __call__(self, host: Host) -> HostResult:
        """Return the answer in ``report``; raise HostError where no relay answers."""
        session = host.connect()
        with host.timed("keys"):
            answer = session.ask(request(host, "keys", salt=self.salt.reveal()), expect="keys")
        if answer["op"] == "failed":
            raise failure(host, answer)
        return host.result(Status.OK, report=without_op(answer))


def disagreements(trunk: Trunk, results: Mapping[str, HostResult], salt: Secret) -> list[str]:
    """Return in words where an end of the trunk does not hold just the site's keys; [] where both do.

    An end that could not be asked is one of them. No key is in the words.
    """
    from vosctl.relay.control.keyring import fingerprint  # noqa: PLC0415  asyncio and all, for those who ask

    wanted = {key.name: fingerprint(salt.reveal(), key.name, key.value.reveal()) for key in accepted(trunk)}
    return [f"{end}: {words}" for end in trunk.ends for words in _of_end(trunk, results.get(end), wanted)]


def accepted(trunk: Trunk) -> tuple[Key, ...]:
    """Return the keys that a relay takes on the trunk; SRTP has none of its own, only those of calls from before."""
    return tuple(key for key in trunk.accept if trunk.mode_of(key) is not Encryption.SRTP)


def _of_end(trunk: Trunk, result: HostResult | None, wanted: Mapping[str, str]) -> list[str]:
    if result is None:
        return ["was not asked"]
    if result.error is not None:
        return [result.error.message.removeprefix(f"{result.node}: ")]
    found: Mapping[str, Any] | None = result.report.get("trunks", {}).get(trunk.name)
    if found is None:
        return [f"its relay knows no keys of trunk {trunk.name}"]
    words = []
    current = trunk.key.name if trunk.key and trunk.encryption is not Encryption.SRTP else None
    if found.get("mode") != trunk.encryption.value:
        words.append(f"new calls are {found.get('mode')}, the site says {trunk.encryption.value}")
    if found.get("key") != current:
        words.append(f"new calls use key {found.get('key')}, the site says {current}")
    modes: Mapping[str, str] = found.get("modes") or {}
    words += [
        f"key {key.name} is for {mode}, the site says {trunk.mode_of(key).value}"
        for key in accepted(trunk)
        if (mode := modes.get(key.name, found.get("mode"))) != trunk.mode_of(key).value
    ]
    prints: Mapping[str, str] = found.get("fingerprints") or {}
    words += [f"key {kid} is not there" for kid in wanted if kid not in prints]
    words += [f"key {kid} is still accepted" for kid in prints if kid not in wanted]
    words += [
        f"key {kid} is another one than the site's"
        for kid, word in wanted.items()
        if kid in prints and not hmac.compare_digest(prints[kid], word)
    ]
    return words
