"""How fast calls come and go, and what memory they take: beside rtpengine, in one run."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.relay_bed import LOAD_CORE, NG, PRIORITY, Bed, bed
from bench.relay_subjects import Subject, endpoints, rtpengine, sdp, set_up, version, vosctl
from vosctl.relay.control import bencode

NAMES = ("relay-setup-rate", "relay-setup-rate-media", "relay-memory")

_SECONDS = 3.0
_AT_ONCE = 32
_CALLS = 2000
_WARM = 50
_TALKING = 500  # calls with 50 packets a second each way
_MOST_LOST = 0.001


def run(name: str) -> dict[str, Any]:
    """Measure ``name`` on both relays."""
    measure = {"relay-setup-rate": _cycles, "relay-setup-rate-media": _cycles_beside_media}.get(
        name, _kilobytes
    )
    with bed() as made:
        with vosctl(made) as subject:
            figure = measure(made, subject)
        with rtpengine(made) as subject:
            peer_figure = measure(made, subject)
    return {
        "name": name,
        "figure": round(figure, 2),
        "unit": "KB a call" if name == "relay-memory" else "calls/s",
        "peer": version(),
        "peer_figure": round(peer_figure, 2),
    }


@contextmanager
def _as_generator() -> Iterator[None]:
    """Be what the load generator is elsewhere: on its core, and disturbed by nobody."""
    cores, policy, priority = os.sched_getaffinity(0), os.sched_getscheduler(0), os.sched_getparam(0)
    os.sched_setaffinity(0, {LOAD_CORE})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, priority)
        os.sched_setaffinity(0, cores)


def _cycles(made: Bed, _subject: Subject) -> float:
    """Return offer, answer and delete of how many calls are done in a second, some calls under way at once."""
    with _as_generator():
        return _rate(made)


def _cycles_beside_media(made: Bed, subject: Subject) -> float:
    """Return the same while other calls talk on the same core. Raises ``RuntimeError`` when their packets are lost."""
    with made.generator() as generator, ThreadPoolExecutor(1) as beside:
        set_up(subject, generator, _TALKING)
        talk = beside.submit(generator.run, _TALKING * 100, _SECONDS + 1)
        rate = _cycles(made, subject)
        loss = talk.result()["loss"]
    if loss > _MOST_LOST:
        raise RuntimeError(f"{loss:.2%} of the packets were lost while calls were set up at {rate:.0f}/s")
    return rate


def _rate(made: Bed) -> float:
    with made.inside():
        ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ours.connect(NG)
    calls = {f"c{number}".encode(): _dialogue(number) for number in range(_AT_ONCE)}
    for cookie, dialogue in calls.items():
        ours.send(next(dialogue).replace(b"COOKIE", cookie, 1))
    began, done, number = time.monotonic(), 0, _AT_ONCE
    while time.monotonic() < began + _SECONDS:
        if not select.select([ours], [], [], 2)[0]:
            raise RuntimeError("the relay stopped answering")
        cookie, _, body = ours.recv(65535).partition(b" ")
        if b"6:result2:ok" not in body:
            raise RuntimeError(body.decode(errors="replace"))
        dialogue = calls.pop(cookie)
        message = next(dialogue, None)
        if message is None:
            done, number = done + 1, number + 1
            dialogue = _dialogue(number)
            message = next(dialogue)
        # A cookie serves once: relays say a known one's reply again.
        fresh = b"%s.%d" % (cookie.partition(b".")[0], time.monotonic_ns())
        calls[fresh] = dialogue
        ours.send(message.replace(b"COOKIE", fresh, 1))
    ours.close()
    return done / (time.monotonic() - began)


def _dialogue(number: int) -> Iterator[bytes]:
    """Yield the three messages of a call, made ready so that this process is no bottleneck."""
    caller, callee = endpoints(number)
    names: dict[str, Any] = {"call-id": f"setup-{number}", "from-tag": f"f{number}"}
    source = {"received-from": ["IP4", caller[0]]}
    yield _message(command="offer", **names, **source, sdp=sdp(caller))
    source = {"received-from": ["IP4", callee[0]]}
    yield _message(command="answer", **names, **source, **{"to-tag": f"t{number}"}, sdp=sdp(callee))
    yield _message(command="delete", **names)


def _message(**keys: Any) -> bytes:
    return b"COOKIE " + bencode.encode(keys)


def _kilobytes(made: Bed, subject: Subject) -> float:
    """Return by how much the relay's own memory grows for a call with traffic both ways; sockets are the kernel's."""
    with made.generator() as generator:
        set_up(subject, None, _WARM)
        for number in range(_WARM):
            subject.ng.delete(f"bench-{number}", f"f{number}")
        before = resident(subject.pids)
        set_up(subject, generator, _CALLS)
        generator.run(_CALLS * 10, 2.0)
        return (resident(subject.pids) - before) / _CALLS


def resident(pids: list[int]) -> int:
    """Return the anonymous memory of the processes in kilobytes."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("RssAnon:"):
                total += int(line.split()[1])
    return total
