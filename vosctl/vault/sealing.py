"""Writes encrypted documents: replaces what is secret in the text and leaves every other character where it was."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from vosctl.site.problems import Problems
from vosctl.site.secrets import is_kept_secret
from vosctl.site.tree import Mark
from vosctl.vault import header as headers
from vosctl.vault import values as typed
from vosctl.vault.document import SECRET_TAG, Document, Leaf, Path, parse
from vosctl.vault.faults import refuse
from vosctl.vault.header import Header, Stanza
from vosctl.vault.opening import DataKey, Opened, about_key
from vosctl.vault.primitives import KEY, wrap
from vosctl.vault.recipients import Recipient, Removed
from vosctl.vault.values import Typed

_PROPERTIES = re.compile(r"(?:(?P<anchor>&[^\s,\[\]{}]+)|![^\s,\[\]{}]*)(?:[ \t]+|(?=[\r\n])|$)")
_BLOCK_COMMENT = re.compile(r"[|>][^\s#]*[ \t]+(?P<comment>#[^\r\n]*)")
_PENDING = "A" * 43

Wanted = Callable[[Leaf], bool]


class Envelope(Struct, frozen=True):
    """For whom, under which data key and as which document a text is sealed; ``serial`` counts its versions."""

    key: DataKey
    recipients: tuple[Recipient, ...]
    removed: tuple[Removed, ...] = ()
    serial: int = 1
    stanzas: tuple[Stanza, ...] = ()


def new_envelope(recipients: tuple[Recipient, ...], removed: tuple[Removed, ...] = ()) -> Envelope:
    """Return an envelope for a document that was never sealed."""
    return Envelope(DataKey(os.urandom(KEY), os.urandom(16).hex()), recipients, removed)


def envelope_of(opened: Opened) -> Envelope:
    """Return the envelope that the next version of a document goes into."""
    header = opened.header
    return Envelope(opened.key, header.recipients, header.removed, header.serial + 1, header.stanzas)


def rekeyed(envelope: Envelope) -> Envelope:
    """Return the envelope with a new data key."""
    return replace(envelope, key=DataKey(os.urandom(KEY), envelope.key.identifier), stanzas=())


def is_wanted(leaf: Leaf) -> bool:
    """Whether a plain leaf is to be encrypted: it stands where secrets stand, or is marked !secret."""
    empty = leaf.node.value == "" and not leaf.node.style
    return leaf.is_marked or (
        is_kept_secret(leaf.name) and not empty and leaf.node.value not in ("null", "~")
    )


def encrypt(
    document: Document,
    envelope: Envelope,
    *,
    wanted: Wanted = is_wanted,
    old: Opened | None = None,
    known: Mapping[str, Typed] = MappingProxyType({}),
) -> str:
    """Return the text with every wanted leaf encrypted and a header that proves it.

    Tokens in the document are kept where they open under the envelope's key, else made anew of what
    they hold under ``old`` or, by their text, in ``known``; a value that ``old`` has at the same path
    keeps its token byte for byte. Raises InputError where a value's meaning is unclear or a token is
    nobody's.
    """
    problems = Problems()
    changes: dict[Path, str] = {}
    for leaf in document.leaves.values():
        if leaf.is_token:
            token = _kept(leaf, envelope, old, known, problems)
            if token != leaf.node.value:
                changes[leaf.path] = token
        elif wanted(leaf):
            changes[leaf.path] = _token(leaf, envelope, old, problems)
    problems.raise_errors()
    return _with_header(rewrite(document, changes), envelope, document.display)


def unsealed(body: str, envelope: Envelope, display: str) -> str:
    """Return a text with a header that proves nothing yet: what a person has to look at first."""
    return body + ("" if body.endswith("\n") else "\n") + headers.render(_pending(envelope, display))


def decrypt(opened: Opened, *, marked: bool) -> str:
    """Return the text without the header and with its values; with ``marked``, each with !secret before it."""
    changes = {}
    for path, value in opened.values.items():
        leaf = opened.document.leaves[path]
        changes[path] = (SECRET_TAG + " " if marked else "") + _shape(opened.document, leaf, value)
    return rewrite(opened.document, changes)


def rewrite(document: Document, changes: Mapping[Path, str]) -> str:
    """Return the document's body with the leaves at these paths replaced by this YAML text."""
    spans = sorted(
        (_span(document, document.leaves[path], text) for path, text in changes.items()), reverse=True
    )
    body = document.body
    for start, end, text in spans:
        body = body[:start] + text + body[end:]
    return body


def source_of(document: Document, leaf: Leaf) -> str:
    """Return a leaf's text as written, without an anchor before it."""
    start, end = leaf.node.start_mark.index, leaf.node.end_mark.index
    return _split(document.text[start:end], leaf)[1].rstrip()


def _span(document: Document, leaf: Leaf, new: str) -> tuple[int, int, str]:
    """Return the part of the text that a leaf takes, and what is to stand there: an anchor and comments stay."""
    start, end = leaf.node.start_mark.index, leaf.node.end_mark.index
    anchor, region = _split(document.text[start:end], leaf)
    if leaf.node.style in ("|", ">"):
        kept = region.rstrip()
        trailing = region[len(kept) :]
        comment = None if new.startswith(("|", ">")) else _BLOCK_COMMENT.match(region)
        new += f" {comment['comment']}" if comment else ""
        end -= len(trailing.lstrip(" \t"))
    elif not region and document.text[start - 1 : start] == ":":
        new = " " + new
    return start, end, anchor + new


def _split(region: str, leaf: Leaf) -> tuple[str, str]:
    """Return the anchor (with a blank) and the value of a leaf's text; a tag is left out."""
    anchor = ""
    while (found := _PROPERTIES.match(region)) is not None:
        anchor = found["anchor"] + " " if found["anchor"] else anchor
        region = region[found.end() :].lstrip()
        if not region or (leaf.node.style and region[0] == leaf.node.style):
            break
    return anchor, region


def _shape(document: Document, leaf: Leaf, value: Typed) -> str:
    """Return a value as YAML: lines of their own where there is room for them, else one line."""
    rest = document.text[leaf.node.end_mark.index :].split("\n", 1)
    alone = len(rest) == 2 and not rest[0].strip()
    block = typed.literal(value, leaf.column + 2) if leaf.column is not None and alone else None
    return block if block is not None else typed.render(value)


def _kept(
    leaf: Leaf, envelope: Envelope, old: Opened | None, known: Mapping[str, Typed], problems: Problems
) -> str:
    token: str = leaf.node.value
    if envelope.key.decrypt(token, leaf.path) is not None:
        return token
    value = old.key.decrypt(token, leaf.path) if old is not None else known.get(token)
    if value is None:
        problems.error("vault-moved", "this value was encrypted for another place, another file or another data key", leaf.mark,
                       path=leaf.name, hint="write the plain value there, or put the encrypted one back where it was")  # fmt: skip
        return token
    return envelope.key.encrypt(value, leaf.path)


def _token(leaf: Leaf, envelope: Envelope, old: Opened | None, problems: Problems) -> str:
    value, rule = typed.of_node(leaf.node)
    if rule:
        problems.error(rule, "without quotes, other characters than the written ones may be read", leaf.mark,
                       path=leaf.name, hint="put the value in quotes")  # fmt: skip
    before = old.values.get(leaf.path) if old is not None else None
    if old is not None and before == value and old.key.raw == envelope.key.raw:
        return str(old.document.leaves[leaf.path].node.value)
    return envelope.key.encrypt(value, leaf.path)


def _with_header(body: str, envelope: Envelope, display: str) -> str:
    if body and not body.endswith("\n"):
        body += "\n"
    header = _pending(envelope, display)
    pending = parse(body + headers.render(header), display)
    return body + headers.render(replace(header, mac=envelope.key.mac(pending)))


def _pending(envelope: Envelope, display: str) -> Header:
    """Return the header with a MAC that is none yet."""
    if not envelope.recipients:
        raise refuse("vault-recipients", "nobody could ever open this file: it has no recipients", Mark(display, 1, 1),
                     hint="vosctl vault init, or vosctl vault recipients add")  # fmt: skip
    key = envelope.key
    return Header(
        key.identifier, key.fingerprint, envelope.serial, _stanzas(envelope), envelope.removed, _PENDING
    )


def _stanzas(envelope: Envelope) -> tuple[Stanza, ...]:
    """Return the wrapped keys; those that are there already stay byte for byte."""
    have = {stanza.recipient: stanza for stanza in envelope.stanzas}
    about = about_key(envelope.key.identifier)
    return tuple(
        have.get(recipient) or Stanza(recipient, wrap(envelope.key.raw, recipient.public, about))
        for recipient in _once(envelope.recipients)
    )


def _once(recipients: Iterable[Recipient]) -> tuple[Recipient, ...]:
    return tuple({recipient.public: recipient for recipient in recipients}.values())
