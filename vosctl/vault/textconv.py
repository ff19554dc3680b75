"""What git shows of a file in diffs: every secret as a fingerprint, the header as who can read it; needs no key."""

from __future__ import annotations

import hashlib

from vosctl.errors import InputError
from vosctl.vault.document import Document, Leaf, parse
from vosctl.vault.header import Header, read_header
from vosctl.vault.sealing import is_wanted, rewrite


def shown(text: str, display: str) -> str:
    """Return the text with values masked: ``<secret 1a2b3c4d>`` for an encrypted one, ``<plain secret>`` for another.

    The fingerprint is of the encrypted value: it stays while the value stays, and tells nothing about
    it. Text that cannot be read as YAML is hidden line by line where a secret may stand.
    """
    try:
        document = parse(text, display)
        header = read_header(document)
    except InputError as error:
        return f"# not shown: {'; '.join(str(problem) for problem in error.problems)}\n# {_digest(text)}\n"
    wanted = {path: leaf for path, leaf in document.leaves.items() if leaf.is_token or is_wanted(leaf)}
    body = rewrite(document, {path: _masked(leaf) for path, leaf in wanted.items()})
    return body if header is None else body + _about(document, header)


def _masked(leaf: Leaf) -> str:
    return f"<secret {_digest(leaf.node.value)}>" if leaf.is_token else "<plain secret>"


def _about(document: Document, header: Header) -> str:
    lines = [
        f"# vault: {len(document.tokens)} encrypted values, data key {header.key}, version {header.serial}",
        *(f"# vault: {each.label} can read it" for each in header.recipients),
        *(f"# vault: {gone.name} was removed on {gone.on}" for gone in header.removed),
    ]
    return "\n".join(lines) + "\n"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:8]
