"""Opens encrypted files while a site is read: the tree gets the values, and knows which of them were secret."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

from yaml.nodes import MappingNode, Node

from vosctl.errors import InputError
from vosctl.site.problems import Problem, Problems
from vosctl.site.tree import Mark
from vosctl.vault import ansible
from vosctl.vault.document import HEADER, TOKEN, of_root
from vosctl.vault.keys import Version, at_hand
from vosctl.vault.opening import Opened, open_document


def unseal(root: Node, text: str, display: str, problems: Problems) -> Collection[int] | None:
    """Put decrypted values in place of the encrypted ones below ``root``, and take the header out.

    Returns the ids of the nodes that were secret, none for a plain file; None and a problem where
    the file cannot be opened with the keys at hand (``vosctl.vault.keys.using``).
    """
    if ansible.is_whole(text):
        problems.error("vault-ansible", "the file is encrypted by ansible-vault", Mark(display, 1, 1),
                       hint=f"bring it over: vosctl vault import {display}")  # fmt: skip
        return None
    if HEADER not in text and TOKEN not in text:
        return ()
    try:
        opened = open_document(of_root(root, text, display), at_hand())
    except InputError as error:
        problems.found.extend(cast("tuple[Problem, ...]", error.problems))
        return None
    if opened is None:
        return ()
    at_hand().versions.append(
        Version(opened.header.identifier, opened.header.serial, opened.document.header_mark)
    )
    return _filled(cast("MappingNode", root), opened)


def _filled(root: MappingNode, opened: Opened) -> Collection[int]:
    root.value = [(key, value) for key, value in root.value if key.value != HEADER]
    sealed = set()
    for path, value in opened.values.items():
        node = opened.document.leaves[path].node
        node.value = "null" if value.kind == "n" else value.secret.reveal()
        node.style = '"' if value.kind == "s" else ""
        sealed.add(id(node))
    return sealed
