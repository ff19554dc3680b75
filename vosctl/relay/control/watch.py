"""Looks at the calls from time to time: alerts, the metrics page, and what was counted by media that died."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, Iterable, Iterator, List, Optional, Tuple

from vosctl import __version__
from vosctl.relay.control import metrics
from vosctl.relay.control.alerts import UNITS, Alert, Watchman, latency
from vosctl.relay.control.commands import Commands
from vosctl.relay.control.media import MediaError
from vosctl.relay.control.metrics import Exporter, Page
from vosctl.relay.control.tally import SUMS
from vosctl.relay.control.webhook import Webhook

LOG = logging.getLogger(__name__)

Json = Dict[str, Any]
Labels = Dict[str, str]

# Two Prometheus servers that scrape at the same moment get the same look at the calls.
FRESH_SECONDS = 1.0
_PREFIX = "vosctl_relay_"
_HELP = {
    "packets": ("received_packets_total", "RTP packets that came from this side and were relayed."),
    "bytes": ("received_bytes_total", "RTP bytes that came from this side and were relayed."),
    "sent": ("sent_packets_total", "RTP packets sent to this side."),
    "dropped": (
        "dropped_packets_total",
        "Packets that came from a stranger or did not fit, and went nowhere.",
    ),
    "malformed": ("malformed_packets_total", "Packets that are no RTP."),
    "unauthentic": ("unauthentic_packets_total", "SRTP packets that were forged, altered or played again."),
    "lost": ("lost_packets_total", "RTP packets that never came from this side (RFC 3550 6.4.1)."),
    "expected": ("expected_packets_total", "RTP packets that should have come from this side."),
    "duplicate": ("duplicate_packets_total", "RTP packets that came twice."),
    "reordered": ("reordered_packets_total", "RTP packets that came out of order."),
    "late": ("late_packets_total", "RTP packets that came too late to be played."),
    "rtcp_packets": ("received_rtcp_packets_total", "RTCP packets that came from this side."),
    "send_errors": ("send_errors_total", "Packets that the kernel did not take."),
}


class Watch:
    """``calls`` lists the calls as the admin socket does, ``status`` is what media says of itself."""

    def __init__(
        self,
        commands: Commands,
        *,
        calls: Callable[[], Awaitable[List[Json]]],
        status: Callable[[], Awaitable[Json]],
    ) -> None:
        self._commands = commands
        self._list = calls
        self._media_status = status
        self._watchman = Watchman()
        self._page = Page()
        self._started = time.monotonic()
        self._running: Dict[str, Counter[str]] = {}
        self._media_pid = 0
        self._text: Tuple[float, str] = (0.0, "")
        self.webhook = Webhook()
        self.exporter = Exporter(self.page)

    @property
    def raised(self) -> List[Json]:
        """The alerts that last."""
        return self._watchman.raised

    async def run(self) -> None:
        """Look every ``alerts.interval`` seconds, until cancelled."""
        while True:
            await asyncio.sleep(self._commands.config.alerts.interval)
            self.webhook.url = self._commands.config.webhook
            try:
                calls, _ = await self._look()
            except MediaError as error:
                LOG.debug("no look at the calls: %s", error)
                continue
            self._commands.samples.take(calls, int(time.time()))
            for alert in self._watchman.look(calls, self._commands.config.alerts):
                self._tell(alert)
            await self._write_textfile()

    def _tell(self, alert: Alert) -> None:
        LOG.log(logging.WARNING if alert.state == "raised" else logging.INFO, "%s", alert)
        if alert.state == "raised":
            self._commands.tally.alerts[alert.peer, alert.figure] += 1
        told = {**alert._asdict(), "unit": UNITS[alert.figure], "value": round(alert.value, 3)}
        self.webhook.tell({"node": self._commands.config.node, "time": round(time.time(), 3), **told})

    async def _write_textfile(self) -> None:
        path = self._commands.config.metrics.textfile
        if path:
            try:
                metrics.write_textfile(Path(path), await self.page())
            except OSError as error:
                LOG.warning("metrics: %s: %s", path, error.strerror)

    async def _look(self) -> Tuple[List[Json], Json]:
        """Return the calls and media's status. Raises ``MediaError``."""
        status = await self._media_status()
        calls = await self._list()
        if status["pid"] != self._media_pid:
            # The process before took its counters with it: what it had told last still counts.
            for name, sums in self._running.items():
                self._commands.tally.traffic.setdefault(name, Counter()).update(sums)
            self._media_pid = int(status["pid"])
        self._running = _sums(calls)
        return calls, status

    async def page(self) -> str:
        """Return the metrics; without media those that need it are left out."""
        when, text = self._text
        if time.monotonic() - when < FRESH_SECONDS and text:
            return text
        status: Optional[Json] = None
        calls: List[Json] = []
        try:
            calls, status = await self._look()
        except MediaError as error:
            LOG.debug("metrics without media: %s", error)
        self._page.begin()
        self._relay(status)
        self._calls()
        self._media(calls)
        self._text = (time.monotonic(), self._page.text())
        return self._text[1]

    def _relay(self, status: Optional[Json]) -> None:
        page, config = self._page, self._commands.config
        gauge = page.gauge
        gauge(f"{_PREFIX}info", "Version and node.", [({"version": __version__, "node": config.node}, 1)])
        gauge(
            f"{_PREFIX}uptime_seconds",
            "Age of the control process.",
            [({}, time.monotonic() - self._started)],
        )
        gauge(f"{_PREFIX}media_up", "1 while the media process answers.", [({}, float(status is not None))])
        if status is None:
            return
        ports = [
            ({"address": host, "state": state}, float(count))
            for host, counted in status["ports"].items()
            for state, count in sorted(counted.items())
        ]
        gauge(f"{_PREFIX}ports", "Pairs of media ports.", ports)
        gauge(f"{_PREFIX}in_kernel", "Directions that the kernel forwards.", [({}, status["in_kernel"])])
        gauge(f"{_PREFIX}open_files", "Open files of the media process.", [({}, status["files"]["open"])])
        gauge(f"{_PREFIX}open_files_limit", "What it may open.", [({}, status["files"]["limit"])])
        page.counter(
            f"{_PREFIX}events_lost_total", "Events that control was not told.", [({}, status["events_lost"])]
        )

    def _calls(self) -> None:
        page, commands = self._page, self._commands
        tally, peers = commands.tally, commands.config.peers
        page.gauge(f"{_PREFIX}calls", "Calls now.", [({}, len(commands.calls))])
        draining = float(bool(commands.admission.drain))
        page.gauge(f"{_PREFIX}draining", "1 while new calls are refused.", [({}, draining)])
        running = [(_peer(name), commands.calls.count(name)) for name in peers]
        page.gauge(f"{_PREFIX}peer_calls", "Calls now that a gateway or trunk takes part in.", running)
        limits = [
            (_peer(name), peer.limits.concurrent) for name, peer in peers.items() if peer.limits.concurrent
        ]
        page.gauge(f"{_PREFIX}peer_calls_limit", "Calls at once that a gateway may have.", limits)
        counter = page.counter
        counter(f"{_PREFIX}calls_begun_total", "Calls let in.", self._known(tally.begun.items()))
        ended = [({"reason": reason}, float(count)) for reason, count in sorted(tally.ended.items())]
        counter(f"{_PREFIX}calls_ended_total", "Calls over.", ended)
        refused = [
            ({**_peer(n), "limit": w}, float(c)) for (n, w), c in sorted(tally.refused.items()) if self._is(n)
        ]
        counter(f"{_PREFIX}calls_refused_total", "Calls answered with load limit.", refused)
        mismatches = self._known(tally.mismatches.items())
        counter(f"{_PREFIX}key_mismatch_total", "Streams that look like noise after decryption.", mismatches)
        alerts = [
            ({**_peer(n), "figure": f}, float(c)) for (n, f), c in sorted(tally.alerts.items()) if self._is(n)
        ]
        counter(f"{_PREFIX}alerts_total", "Alerts raised.", alerts)

    def _media(self, calls: List[Json]) -> None:
        ended = self._commands.tally.traffic
        names = sorted(name for name in {*ended, *self._running} if self._is(name))
        for source, (name, text) in _HELP.items():
            samples = [
                (
                    _peer(peer),
                    float(sum(sums.get(peer, Counter())[source] for sums in (ended, self._running))),
                )
                for peer in names
            ]
            self._page.counter(f"{_PREFIX}{name}", text, samples)
        legs: Dict[str, List[Json]] = {}
        for leg in (
            leg for call in calls for leg in call["legs"] if leg["packets"] and self._is(leg["name"])
        ):
            legs.setdefault(leg["name"], []).append(leg)
        for name, text, value in (
            ("jitter_seconds", "Mean interarrival jitter of the streams now (RFC 3550 A.8).", _jitter),
            (
                "delay_seconds",
                "Mean one-way delay of the streams now: half the round trip, and playout.",
                _delay,
            ),
            ("playout_seconds", "Mean delay of the jitter buffers now.", _playout),
            ("mos", "Mean opinion score of the streams now, by the E-model (ITU-T G.107).", _mos),
        ):
            samples_now = [(_peer(peer), _mean(map(value, found))) for peer, found in sorted(legs.items())]
            self._page.gauge(f"{_PREFIX}{name}", text, samples_now)

    def _is(self, name: str) -> bool:
        """Tell whether a label may be called so: names that the site no longer has would pile up."""
        return not name or name in self._commands.config.peers

    def _known(self, items: Iterable[Tuple[str, int]]) -> Iterator[Tuple[Labels, float]]:
        return ((_peer(name), float(count)) for name, count in sorted(items) if self._is(name))


def _sums(calls: List[Json]) -> Dict[str, "Counter[str]"]:
    sums: Dict[str, Counter[str]] = {}
    for leg in (leg for call in calls for leg in call["legs"]):
        total = sums.setdefault(leg["name"], Counter())
        for name in SUMS:
            total[name] += max(0, int(leg.get(name) or 0))
    return sums


def _peer(name: str) -> Labels:
    return {"peer": name or "unnamed"}


def _jitter(leg: Json) -> Optional[float]:
    return float(leg["jitter_ms"]) / 1000


def _delay(leg: Json) -> Optional[float]:
    found = latency(leg)
    return None if found is None else found / 1000


def _playout(leg: Json) -> Optional[float]:
    return float(leg.get("playout_ms") or 0.0) / 1000 or None


def _mos(leg: Json) -> Optional[float]:
    return leg.get("mos") or None


def _mean(values: Iterable[Optional[float]]) -> Optional[float]:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
