"""Looks through files about to be committed for secrets in plain text; needs no key."""

from __future__ import annotations

import re
from pathlib import Path

from vosctl.errors import InputError
from vosctl.site.problems import Problem, Problems
from vosctl.site.tree import Mark
from vosctl.vault.document import parse
from vosctl.vault.header import read_header
from vosctl.vault.keys import Keys
from vosctl.vault.opening import open_document
from vosctl.vault.recipients import PRIVATE
from vosctl.vault.sealing import is_wanted

_PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")
_IDENTITY = re.compile(re.escape(PRIVATE) + r"[A-Za-z0-9_-]{48}")
_DEMO = re.compile(r"^demo:[ \t]+true\b", re.MULTILINE)
_YAML = (".yml", ".yaml")


def check_file(path: Path, text: str, display: str, keys: Keys | None = None) -> list[Problem]:
    """Return what is wrong with a file that is about to be committed.

    ``plain-secret`` (a key, password or webhook where such stand), ``private-key`` (a PEM private key or
    a vault identity), and whatever shows an encrypted file to be damaged. With ``keys``, it is opened too.
    """
    problems = Problems()
    for pattern, what in ((_PRIVATE_KEY, "a private key"), (_IDENTITY, "a vault identity")):
        for found in pattern.finditer(text):
            mark = Mark(display, text.count("\n", 0, found.start()) + 1, 1)
            problems.error("private-key", f"{what} stands here in plain text", mark,
                           hint="take it out; who has seen the file has the key: make a new one")  # fmt: skip
    if path.suffix in _YAML:
        _check_yaml(path, text, display, keys, problems)
    return list(problems.errors)


def _check_yaml(path: Path, text: str, display: str, keys: Keys | None, problems: Problems) -> None:
    try:
        document = parse(text, display)
        header = read_header(document)
        if header is not None and keys is not None:
            open_document(document, keys)
    except InputError as error:
        ours = [problem for problem in error.problems if isinstance(problem, Problem)]
        problems.found.extend(
            problem for problem in ours if problem.rule.startswith("vault-") and problem.rule != "vault-shape"
        )
        return
    found = [leaf for leaf in document.leaves.values() if not leaf.is_token and is_wanted(leaf)]
    if found and not _is_example(path, text):
        for leaf in found:
            problems.error("plain-secret", "a secret stands here in plain text", leaf.mark, path=leaf.name,
                           hint=f"encrypt it: vosctl vault encrypt {display}")  # fmt: skip


def _is_example(path: Path, text: str) -> bool:
    """Whether the file belongs to a site whose secrets are public: ``demo: true`` in it or in group_vars/all."""
    if _DEMO.search(text):
        return True
    for folder in list(path.absolute().parents)[:4]:
        near = [*folder.glob("group_vars/all.y*ml"), *folder.glob("group_vars/all/*.y*ml")]
        if any(_DEMO.search(file.read_text(encoding="utf-8", errors="replace")) for file in near):
            return True
    return False
