"""A review's risks in SARIF (OASIS SARIF 2.1.0), which code scanning on GitHub and GitLab shows at the changed line."""

from __future__ import annotations

import hashlib
from typing import Any

from msgspec.structs import replace

import vosctl
from vosctl.plan.risk import Risk
from vosctl.report.review import in_repository, names, where
from vosctl.review.model import Finding, Review

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def as_sarif(review: Review, *, fallback: str, folder: str = "") -> dict[str, Any]:
    """Return the log: a result for each risk of each finding, on all nodes together.

    A finding that no line says stands at ``fallback``, a file of the repository: SARIF's readers want
    a place. ``folder`` is where the site stands in the repository.
    """
    nodes: dict[Finding, list[str]] = {}
    for node in review.nodes:
        for finding in node.findings:
            nodes.setdefault(replace(finding, detail=()), []).append(node.name)
    rules = list(review.risks)
    results = [
        _result(finding, risk, found, rules.index(risk), _location(finding, fallback, folder))
        for finding, found in nodes.items()
        for risk in finding.risks
    ]
    driver = {"name": "vosctl", "version": vosctl.__version__, "rules": [_rule(risk) for risk in rules]}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(risk: Risk) -> dict[str, Any]:
    return {
        "id": risk.value,
        "shortDescription": {"text": risk.about.title},
        "help": {"text": risk.about.help},
        "defaultConfiguration": {"level": risk.level.value},
    }


def _location(finding: Finding, fallback: str, folder: str) -> dict[str, Any]:
    mark = finding.mark if where(finding) and not finding.gone else None
    uri = in_repository(finding, folder) if mark else fallback
    region = {"startLine": mark.line, "startColumn": mark.column} if mark else {"startLine": 1}
    place = {"artifactLocation": {"uri": uri, "uriBaseId": "%SRCROOT%"}, "region": region}
    return {"physicalLocation": place}


def _result(
    finding: Finding, risk: Risk, nodes: list[str], rule: int, location: dict[str, Any]
) -> dict[str, Any]:
    identity = f"{risk.value}\n{finding.subject}\n{finding.text}"
    return {
        "ruleId": risk.value,
        "ruleIndex": rule,
        "level": risk.level.value,
        "message": {"text": f"{finding} (on {names(nodes)})"},
        "locations": [location],
        "partialFingerprints": {"vosctlFinding/v1": hashlib.sha256(identity.encode()).hexdigest()},
    }
