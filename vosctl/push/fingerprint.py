"""Fingerprints of wanted and observed states that can lie in a file without giving secrets away."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from msgspec import to_builtins
from msgspec.structs import asdict

from vosctl.compile.desired import Desired
from vosctl.push.schedule import Batch

SALT_BYTES = 16
# 16 MiB and some 40 ms for each guess at all of a site's secrets together (RFC 7914).
_COST = {"n": 1 << 14, "r": 8, "p": 1, "dklen": 32}


class Fingerprint:
    """Fingerprints under one key, made from a ``salt`` (hex, stored beside them) and the site's own secrets.

    Whoever has the file but not the site can test a guess only by guessing all secrets at once. The key is made
    beside what the caller does next, on another core.
    """

    def __init__(self, desired: Mapping[str, Desired], salt: str | None = None) -> None:
        self.salt = salt or os.urandom(SALT_BYTES).hex()
        secrets = {file.content for node in desired.values() for file in node.files if file.secret}
        joined = b"".join(len(each).to_bytes(8, "big") + each for each in sorted(secrets))
        beside = ThreadPoolExecutor(1)
        self._key = beside.submit(partial(hashlib.scrypt, joined, salt=bytes.fromhex(self.salt), **_COST))
        beside.shutdown(wait=False)

    def of(self, text: str) -> str:
        """Return the fingerprint of a text, hex."""
        return hmac.new(self._key.result(), text.encode(), hashlib.sha256).hexdigest()

    def of_site(self, desired: Mapping[str, Desired], batches: Iterable[Batch] = ()) -> str:
        """Return the fingerprint of what all nodes should be, and of how they are reached."""
        nodes = {name: _digests(desired[name]) for name in sorted(desired)}
        words = [[list(batch.nodes), to_builtins(batch.rollout)] for batch in batches]
        return self.of(json.dumps([nodes, words], sort_keys=True, default=str))


def _digests(desired: Desired) -> list[Any]:
    files = [
        (f.path, f.digest, f.mode, f.owner, f.group, f.secret, f.reload, f.restart, f.validate)
        for f in desired.files
    ]
    return [
        desired.node,
        desired.packages,
        desired.release.digest if desired.release else None,
        files,
        [(item.name, item.digest, item.maxelem) for item in desired.sets],
        [(item.family, item.digest) for item in desired.rulesets],
        [(item.key, item.value, item.host_wide) for item in desired.sysctls],
        [asdict(item) for item in desired.services],
        [asdict(item) for item in desired.users],
    ]
