"""Cross check of secrets: keys and passwords that stand in plain text, one warning a file."""

from __future__ import annotations

from collections.abc import Iterator

from vosctl.site.check.findings import Findings
from vosctl.site.objects.fields import Fields
from vosctl.site.tree import Mark


def check_plain_secrets(findings: Findings) -> None:
    """Warn of plain keys and passwords outside of example sites (``demo: true``)."""
    found: dict[Mark, str] = {}
    seen: set[int] = set()
    for fields in findings.built.fields.values():
        if fields.boolean("demo", default=False):
            continue
        for table, secret in (("keys", "value"), ("gateways", "password")):
            entries = fields.below(table)
            if id(entries.tree) not in seen:
                seen.add(id(entries.tree))
                found.update(_secrets(entries, secret))
    by_file: dict[str, list[Mark]] = {}
    for mark in sorted(found):
        by_file.setdefault(mark.file, []).append(mark)
    for marks in by_file.values():
        more = f" ({len(marks)} secrets in this file)" if len(marks) > 1 else ""
        message = f"a secret stands here in plain text{more}"
        hint = "keep the file out of git, or mark an example site with demo: true"
        findings.problems.warn("plain-secret", message, marks[0], path=found[marks[0]], hint=hint)


def _secrets(table: Fields, key: str) -> Iterator[tuple[Mark, str]]:
    for _, entry in table.entries():
        if key in entry:
            yield entry.mark(key), entry.at(key)
