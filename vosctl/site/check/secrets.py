"""Cross check of secrets: keys and passwords that stand in plain text, one finding a file."""

from __future__ import annotations

from collections.abc import Iterator

from vosctl.site.check.findings import Findings
from vosctl.site.secrets import is_kept_secret, is_secret_path
from vosctl.site.tree import Mapping, Mark, Scalar, Value, is_sealed

_TREES = ("keys", "gateways", "relay", "firewall", "password", "become_password", "become_pass", "ssh_pass")
_COMPILED = (
    "gateways", "trunks", "keys", "qos", "media", "firewall", "sysctl", "relay", "rates", "files", "packages",
    "services", "users", "cron",
)  # fmt: skip


def check_shown_secrets(findings: Findings) -> None:
    """Report encrypted values in places whose content plans, diffs and nodes' files show."""
    add, told = findings.problems.warn, set()
    for fields in findings.built.fields.values():
        for name in _COMPILED:
            for path, value in _secrets(fields.tree.items.get(name), name):
                if is_sealed(value) and not is_secret_path(path) and value.mark not in told:
                    told.add(value.mark)
                    message = "this value is encrypted here, but plans, diffs and files on nodes show it"
                    hint = "keys, passwords, webhooks and contents of files are kept secret, other values are not"
                    add("sealed-shown", message, value.mark, path=path, hint=hint)


def check_plain_secrets(findings: Findings) -> None:
    """Report plain keys, passwords and webhooks outside of example sites (``demo: true``).

    A warning where the site encrypts nothing; an error where it encrypts others: then this one was
    forgotten.
    """
    found: dict[Mark, str] = {}
    seen: set[int] = set()
    encrypts = False
    for fields in findings.built.fields.values():
        plain = not fields.boolean("demo", default=False)
        for name in _TREES:
            tree = fields.tree.items.get(name) or fields.tree.items.get(f"ansible_{name}")
            if tree is None or id(tree) in seen:
                continue
            seen.add(id(tree))
            for path, value in _secrets(tree, name):
                encrypts |= value.sealed
                if plain and not value.sealed:
                    found[value.mark] = path
    _report(findings, found, forgotten=encrypts)


def _report(findings: Findings, found: dict[Mark, str], *, forgotten: bool) -> None:
    by_file: dict[str, list[Mark]] = {}
    for mark in sorted(found):
        by_file.setdefault(mark.file, []).append(mark)
    add = findings.problems.error if forgotten else findings.problems.warn
    for file, marks in by_file.items():
        more = f" ({len(marks)} secrets in this file)" if len(marks) > 1 else ""
        also = ", and others of this site are encrypted" if forgotten else ""
        message = f"a secret stands here in plain text{more}{also}"
        hint = f"encrypt it: vosctl vault encrypt {file}; or mark an example site with demo: true"
        add("plain-secret", message, marks[0], path=found[marks[0]], hint=hint)


def _secrets(value: Value | None, path: str) -> Iterator[tuple[str, Scalar]]:
    if isinstance(value, Mapping):
        for key, item in value.items.items():
            yield from _secrets(item, f"{path}.{key}")
    elif isinstance(value, Scalar) and (is_sealed(value) or (is_kept_secret(path) and value.value)):
        yield path, value
