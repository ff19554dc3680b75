"""Finds out what this machine can run, skips the rest loudly, and fails skips where reality is required.

`root`, `netns` and `requires(*programs)` mark what a test needs. With VOSCTL_REQUIRE_REAL=1 a skip of any
origin is a failure, so that a green run there has run everything.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vosctl.fleet import Fleet, HostSpec, missing

STRICT = os.environ.get("VOSCTL_REQUIRE_REAL", "") not in {"", "0"}
SBIN = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


def pytest_configure(config: pytest.Config) -> None:
    # Machines differ in whether a user's PATH holds sbin; the tools that tests drive live there.
    os.environ["PATH"] = SBIN
    # A run in the background of a script ignores the interrupt, and so would the programs that tests interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    reason = _unmet(item)
    if reason:
        pytest.skip(reason)


def _unmet(item: pytest.Item) -> str:
    if item.get_closest_marker("netns") and missing():
        return missing()
    if item.get_closest_marker("root") and os.geteuid() != 0:
        return "needs root"
    for marker in item.iter_markers("requires"):
        absent = [program for program in marker.args if shutil.which(program) is None]
        if absent:
            return f"needs {' and '.join(absent)}"
    return ""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    _harden(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    report = yield
    _harden(report)
    return report


def _harden(report: pytest.TestReport | pytest.CollectReport) -> None:
    if STRICT and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but VOSCTL_REQUIRE_REAL is set: {_reason(report)}"


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    _tell_points(terminalreporter)
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section(f"NOT TESTED HERE: {len(skipped)} tests", sep="!", red=True, bold=True)
    reasons: dict[str, Counter[str]] = {}
    for report in skipped:
        reasons.setdefault(_reason(report), Counter())[report.nodeid.partition("::")[0]] += 1
    for reason, files in sorted(reasons.items()):
        terminalreporter.write_line(f"{reason}: {files.total()} tests", red=True)
        for file, count in sorted(files.items()):
            terminalreporter.write_line(f"    {count:>4}  {file}")


def _tell_points(terminalreporter: pytest.TerminalReporter) -> None:
    # What a test that breaks nodes at chosen points records as ``points``: (what, how many, seed).
    passed = terminalreporter.stats.get("passed", [])
    found = [value for report in passed for name, value in report.user_properties if name == "points"]
    if found:
        total = sum(count for _, count, _ in found)
        terminalreporter.section(
            f"nodes broken at {total} points: none half, none locked out, no snapshot lost"
        )
        for what, count, seed in found:
            terminalreporter.write_line(f"{count:>4}  {what} (VOSCTL_FAULT_SEED={seed})")


@pytest.fixture
def make_fleet(tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    """Return a function that brings up a fleet of HostSpecs; it goes down with the test."""
    fleets: list[Fleet] = []

    def make(*hosts: HostSpec) -> Fleet:
        fleets.append(Fleet.up(hosts, tmp_path / f"fleet{len(fleets)}"))
        return fleets[-1]

    yield make
    for fleet in fleets:
        fleet.down()
