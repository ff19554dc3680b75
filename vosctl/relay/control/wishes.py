"""What a script may ask of an offer or answer and this relay does not do: refused with the reason, never half done.

What is not named here and not used elsewhere changes nothing for anybody, and is passed over.
"""

from __future__ import annotations

from typing import FrozenSet

from vosctl.relay.control.request import RefusalError, Request

_KEYS = {
    "codec": "this relay changes no list of codecs and transcodes nothing",
    "repacketize": "this relay leaves packets as long as they are",
    "t.38": "this relay passes faxes over UDPTL on, it makes and ends none",
}
# Words of a key that mean what cannot be; other words of it are done, or are about what happens anyway.
_WORDS = {
    "ice": (frozenset({"force", "force-relay"}), "this relay takes no part in ICE"),
    "sdes": (
        frozenset({"off", "no", "disable", "unencrypted-srtp", "unauthenticated-srtp", "unencrypted-srtcp"}),
        "SRTP has its keys in the SDP here, and is always encrypted and authenticated",
    ),
}


def refuse_undone(request: Request) -> None:
    """Raise ``RefusalError`` when the request asks for something that this relay does not do."""
    for key, reason in _KEYS.items():
        if request.values.get(key):
            raise RefusalError(f"{key}: {reason}")
    for key, (words, reason) in _WORDS.items():
        asked = sorted(words & {word.replace("_", "-") for word in request.words(key)})
        if asked:
            raise RefusalError(f"{key}={asked[0]}: {reason}")


def suites(request: Request, known: FrozenSet[str]) -> FrozenSet[str]:
    """Return which of the ``known`` crypto suites may be offered, by ``SDES=no-…`` and ``SDES=only-…``.

    Raises ``RefusalError`` when none is left.
    """
    words = request.words("sdes")
    only = frozenset(suite for suite in known if f"only-{suite.lower()}" in words)
    left = frozenset(suite for suite in only or known if f"no-{suite.lower()}" not in words)
    if not left:
        raise RefusalError("SDES: no crypto suite of this relay's is left to offer")
    return left
