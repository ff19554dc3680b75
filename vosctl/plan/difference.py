"""Differences as lines: unified diffs of text, members of sets, and fingerprints in place of secrets."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from vosctl.secret import Secret

MEMBERS_SHOWN = 200
LINES_SHOWN = 2000

_CONTEXT = 3
_HUNK = re.compile(r"^@@ -(\d+)((?:,\d+)?) \+(\d+)((?:,\d+)?) @@$")
_COUNTERS = re.compile(r"\[\d+:\d+\]")


def unified(old: bytes | None, new: bytes | None, *, name: str) -> tuple[str, ...]:
    """Return the unified diff of two files' contents; None stands for a file that is not there.

    What is not UTF-8 text is told by its sizes only.
    """
    try:
        before, after = (old or b"").decode(), (new or b"").decode()
    except UnicodeDecodeError:
        return (f"binary, {_size(old)} -> {_size(new)}",)
    return text_diff(
        before,
        after,
        old_name=f"{name} (node)" if old is not None else "/dev/null",
        new_name=f"{name} (site)" if new is not None else "/dev/null",
    )


@lru_cache(maxsize=32)
def text_diff(old: str, new: str, *, old_name: str, new_name: str) -> tuple[str, ...]:
    """Return the unified diff of two texts, cut after LINES_SHOWN lines; nodes of one kind share it."""
    before, after = old.splitlines(), new.splitlines()
    skipped = _alike(before, after)
    cut = _alike(before[skipped:][::-1], after[skipped:][::-1])
    skipped, cut = max(skipped - _CONTEXT, 0), max(cut - _CONTEXT, 0)
    between = before[skipped : len(before) - cut], after[skipped : len(after) - cut]
    lines = list(difflib.unified_diff(*between, old_name, new_name, lineterm="", n=_CONTEXT))
    lines = [_HUNK.sub(lambda found: _moved_down(found, skipped), line) for line in lines]
    if not lines and old != new:
        lines = [f"--- {old_name}", f"+++ {new_name}", "line ends differ"]
    return _cut(lines, LINES_SHOWN, "lines")


def _alike(old: Sequence[str], new: Sequence[str]) -> int:
    """Return how many lines both begin with: long files mostly differ in a few, and difflib is slow on the rest."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((at for at, (before, after) in pairs if before != after), min(len(old), len(new)))


def _moved_down(hunk: re.Match[str], by: int) -> str:
    return f"@@ -{int(hunk[1]) + by}{hunk[2]} +{int(hunk[3]) + by}{hunk[4]} @@"


def secret_diff(old_digest: str, new_digest: str, *, key: bytes | None) -> tuple[str, ...]:
    """Return the change of a secret file as fingerprints of its content's digests.

    The digests are fingerprinted themselves: a plain SHA-256 could be tested against guesses.
    An empty old digest stands for a file that is not there.
    """
    lines = [f"-{fingerprint(old_digest, key=key)}"] if old_digest else []
    if new_digest != old_digest:
        return (*lines, f"+{fingerprint(new_digest, key=key)}")
    return ()


def fingerprint(value: str, *, key: bytes | None) -> str:
    """Return ``<secret 1a2b3c4d>``: equal for equal values under one key, None for this process' key."""
    secret = Secret(value)
    return f"<secret {secret.fingerprint() if key is None else secret.fingerprint(key)}>"


def members_diff(old: Iterable[str], new: Iterable[str]) -> tuple[str, ...]:
    """Return ``-member`` and ``+member`` lines, the first MEMBERS_SHOWN of them."""
    before, after = set(old), set(new)
    gone = [f"-{member}" for member in sorted(before - after)]
    come = [f"+{member}" for member in sorted(after - before)]
    return _cut([*gone, *come], MEMBERS_SHOWN, "members")


def rules_text(saved: str) -> str:
    """Return iptables-save output with comments dropped and counters set to zero."""
    lines = (_COUNTERS.sub("[0:0]", line) for line in saved.splitlines() if not line.startswith("#"))
    return "".join(f"{line}\n" for line in lines)


def own_rules(saved: str) -> str:
    """Return ``rules_text`` without built-in chains and the hooks in them: what a site's text holds."""
    return "".join(
        f"{line}\n"
        for line in rules_text(saved).splitlines()
        if not line.startswith((":", "-A ")) or line.startswith((":VOS-", "-A VOS-"))
    )


def _cut(lines: list[str], limit: int, what: str) -> tuple[str, ...]:
    if len(lines) <= limit:
        return tuple(lines)
    return (*lines[:limit], f"... and {len(lines) - limit} more {what}")


def _size(content: bytes | None) -> str:
    return "nothing" if content is None else f"{len(content)} bytes"
