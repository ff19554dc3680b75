"""Brings files of ansible-vault over: whole files, and single values behind ``!vault |``."""

from __future__ import annotations

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from vosctl.site.text.compose import compose
from vosctl.site.tree import Mark
from vosctl.vault import ansible, values
from vosctl.vault.ansible import Password
from vosctl.vault.document import SECRET_TAG, Leaf, parse
from vosctl.vault.faults import refuse
from vosctl.vault.sealing import Envelope, encrypt, is_wanted


def bring(text: str, display: str, passwords: tuple[Password, ...], envelope: Envelope) -> tuple[str, int]:
    """Return the text in our format and the number of values encrypted.

    Of a whole file every value was secret, so every value is encrypted; of a file with single values,
    those, and what stands where secrets stand. Raises InputError where a password does not fit or the
    content is no YAML mapping.
    """
    whole = ansible.is_whole(text)
    plain = (
        ansible.decrypt(text, passwords, Mark(display, 1, 1)) if whole else _inline(text, display, passwords)
    )
    document = parse(plain, display)
    if document.root is None:
        raise refuse("vault-shape", "there is nothing in it", Mark(display, 1, 1), hint="remove the file")
    sealed = encrypt(document, envelope, wanted=_is_value if whole else is_wanted)
    return sealed, len(parse(sealed, display).tokens)


def _is_value(leaf: Leaf) -> bool:
    return bool(leaf.node.style or leaf.node.value) and leaf.path[-1] != "<<"


def _inline(text: str, display: str, passwords: tuple[Password, ...]) -> str:
    root = compose(text).root
    found = sorted(_vaulted(root), key=lambda node: node.start_mark.index, reverse=True) if root else []
    if not found:
        raise refuse("vault-ansible-format", "nothing in it is encrypted by ansible-vault", Mark(display, 1, 1),
                     hint="plain files: vosctl vault encrypt")  # fmt: skip
    for node in found:
        mark = Mark(display, node.start_mark.line + 1, node.start_mark.column + 1)
        value = ansible.decrypt(node.value, passwords, mark)
        start, end = node.start_mark.index, node.end_mark.index
        region = text[start:end]
        end -= len(region) - len(region.rstrip())
        text = text[:start] + f"{SECRET_TAG} {values.quoted(value)}" + text[end:]
    return text


def _vaulted(node: Node) -> list[ScalarNode]:
    if isinstance(node, ScalarNode):
        return [node] if node.tag in ("!vault", "!vault-encrypted") else []
    if isinstance(node, MappingNode):
        return [found for _, value in node.value for found in _vaulted(value)]
    return (
        [found for item in node.value for found in _vaulted(item)] if isinstance(node, SequenceNode) else []
    )
