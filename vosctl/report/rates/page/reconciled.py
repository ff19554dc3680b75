"""A reconciliation as one file of HTML: what it comes to, a bar for each class, the calls that differ."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from vosctl.rates.reconcile.classes import Class, Reconciled
from vosctl.report.rates.figures import thousands
from vosctl.report.rates.page.charts import bars
from vosctl.report.rates.page.page import rendered
from vosctl.report.rates.reconciled import amount, cells, findings

_COLUMNS = (
    "class",
    "number",
    "began (UTC)",
    "seconds here",
    "seconds there",
    "amount here",
    "amount there",
    "difference",
)
_NUMBERS = frozenset(_COLUMNS[3:])
_EXACT = {5: "our_amount", 6: "their_amount", 7: "difference"}


def page(found: Reconciled, rows: list[dict[str, Any]]) -> str:
    """Return the page; ``rows`` are the differences that it lists."""
    money = [
        (each.kind.value, amount(each.difference) or Decimal(0)) for each in found.totals if each.difference
    ]
    total = found.total
    differing = sum(each.calls for each in found.totals if each.kind is not Class.AGREED)
    tiles = [
        {"label": "amount here", "text": thousands(amount(total.ours) or 0, 2), "losing": False},
        {"label": "amount there", "text": thousands(amount(total.theirs) or 0, 2), "losing": False},
        {
            "label": "difference",
            "text": thousands(amount(total.difference) or 0, 2),
            "losing": False,
        },
        {"label": "calls that differ", "text": f"{differing:,}", "losing": False},
    ]
    return rendered(
        "reconcile.html.j2",
        title="Reconciliation",
        about="; ".join(findings(found)),
        tiles=tiles,
        bars=bars(money) if money else None,
        totals=[_total(each.kind.value, each) for each in found.totals],
        everything=_total("all", total),
        columns=[{"name": name, "number": name in _NUMBERS} for name in _COLUMNS],
        rows=[_cells(row) for row in rows],
        more=differing - len(rows),
    )


def _total(name: str, each: Any) -> list[dict[str, Any]]:
    values = [amount(value) for value in (each.ours, each.theirs, each.difference)]
    figures = [{"text": thousands(value or 0, 4), "exact": f"{value:f}", "number": True} for value in values]
    return [
        {"text": name, "exact": "", "number": False},
        {"text": f"{each.calls:,}", "exact": str(each.calls), "number": True},
        *figures,
    ]


def _cells(row: dict[str, Any]) -> list[dict[str, Any]]:
    made = []
    for at, text in enumerate(cells(row)):
        exact = row.get(_EXACT.get(at, ""))
        plain = f"{amount(exact):f}" if exact is not None else text.replace(",", "") if text != "-" else ""
        made.append({"text": text, "exact": plain, "number": at > 2})
    return made
