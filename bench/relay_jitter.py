"""What memory a call with a jitter buffer at each end takes, beside the same call without, in one run."""

from __future__ import annotations

import json
from typing import Any

from bench.relay_bed import RELAY_ADDRESS, Bed, Generator, bed
from bench.relay_setup import resident
from bench.relay_subjects import Subject, endpoints, sdp, target_port, tear_down, vosctl
from vosctl.relay import admin
from vosctl.relay.paths import RelayPaths

NAMES = ("relay-memory-jitter",)

_CALLS = 1000
_WARM = 50
# The largest of the presets: the longest buffer has the most room.
_SATELLITE = {"mode": "adaptive", "min": 60, "max": 400, "start": 150}


def run(name: str) -> dict[str, Any]:
    """Measure a call with two buffers, and one with none."""
    with bed() as made, vosctl(made) as subject:
        figures = [_kilobytes(made, subject, jitter) for jitter in (None, _SATELLITE)]
    return {
        "name": name,
        "figure": round(figures[1], 2),
        "unit": "KB a call",
        "peer": "the same without",
        "peer_figure": round(figures[0], 2),
    }


def _kilobytes(made: Bed, subject: Subject, jitter: dict[str, Any] | None) -> float:
    """Return by how much the relay's own memory grows for a call with traffic both ways."""
    _configure(made, jitter)
    with made.generator() as generator:
        _set_up(subject, None, _WARM)
        tear_down(subject, _WARM)
        before = resident(subject.pids)
        _set_up(subject, generator, _CALLS)
        # At 50 packets a second each buffer holds what it is made for.
        generator.run(_CALLS * 100, 3.0)
        grown = (resident(subject.pids) - before) / _CALLS
        tear_down(subject, _CALLS)
    return grown


def _configure(made: Bed, jitter: dict[str, Any] | None) -> None:
    paths = RelayPaths().below(made.folder / "node")
    config = json.loads(paths.config.read_text(encoding="utf-8"))
    gateway = {"type": "mapping", "learn": "sdp", "jitter": jitter}
    config["gateways"] = {
        name: {**gateway, "networks": [f"10.{net}.0.0/16"]} for name, net in (("acme", 78), ("vendor", 79))
    }
    config["trunks"] = {}
    paths.config.write_text(json.dumps(config), encoding="utf-8")
    told = admin.ask(paths.control_socket, "reload")
    if not told["ok"]:
        raise RuntimeError(told["error"])


def _set_up(subject: Subject, generator: Generator | None, calls: int) -> None:
    names = {"vos_from": "acme", "vos_to": "vendor"}
    for number in range(calls):
        caller, callee = endpoints(number)
        call, tags = f"bench-{number}", (f"f{number}", f"t{number}")
        offered = subject.ng.offer(call, tags[0], sdp(caller), **names)
        answered = subject.ng.answer(call, *tags, sdp(callee), **names)
        if generator:
            generator.flow(caller, (RELAY_ADDRESS, target_port(answered)), callee)
            generator.flow(callee, (RELAY_ADDRESS, target_port(offered)), caller)
