"""What runs Python on a node makes room for the threads that relay packets, whatever the relay was started as."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from relay_calls import until

from vosctl.relay.priority import NICE

REAL_TIME = 5
MOST_NICE = 19


def standing(pid: int) -> list[tuple[int, int]]:
    """Return policy and nice value of each thread: the process' first one, then the others."""
    found = []
    for task in sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda path: int(path.name)):
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        found.append((int(fields[38]), int(fields[16])))
    return found


def pids(node) -> tuple[int, int]:
    status = node.ask("status")
    return status["pid"], status["media"]["pid"]


def test_python_is_behind_the_workers(nodes) -> None:
    node = nodes("edge")
    node.start()
    control, media = map(standing, pids(node))
    first, *workers = media
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    behind = (os.SCHED_OTHER, max(NICE, ours))
    assert set(control) == {behind}
    assert first == behind
    assert set(workers) == {(os.SCHED_OTHER, ours)}


@pytest.mark.root
@pytest.mark.requires("chrt")
@pytest.mark.parametrize("policy", ["--fifo", "--rr"])
def test_a_real_time_priority_is_the_workers_alone(nodes, policy: str) -> None:
    node = nodes("edge")
    node.command = ["chrt", policy, str(REAL_TIME), *node.command]
    node.start()
    control, media = pids(node)
    first, *workers = standing(media)
    wanted = os.SCHED_FIFO if policy == "--fifo" else os.SCHED_RR
    assert {kind for kind, _ in [first, *standing(control)]} == {os.SCHED_OTHER}
    assert workers
    assert {kind for kind, _ in workers} == {wanted}


def low_latency(node, *, on: object) -> str:
    """Return what the reload complains of, nothing if it is well."""
    node.config["low_latency"] = on
    node.write()
    return str(node.ask("reload").get("error", ""))


def scheduled(pid: int, policy: int) -> list[set[int]]:
    """Return the cores of each thread of ``pid`` that runs under ``policy``."""
    tasks = (int(path.name) for path in Path(f"/proc/{pid}/task").iterdir())
    return [os.sched_getaffinity(task) for task in tasks if os.sched_getscheduler(task) == policy]


def test_low_latency_keeps_each_core_awake_at_the_lowest_priority(nodes) -> None:
    node = nodes("edge")
    node.start()
    _, media = pids(node)
    cores = os.sched_getaffinity(0)
    free = scheduled(media, os.SCHED_OTHER)
    assert free == [cores] * len(free)
    assert not node.ask("status")["media"]["low_latency"]
    assert not low_latency(node, on=True)
    assert node.ask("status")["media"]["low_latency"]
    until(lambda: len(scheduled(media, os.SCHED_IDLE)) == len(cores))
    one_each = sorted([{core} for core in cores], key=min)
    assert sorted(scheduled(media, os.SCHED_IDLE), key=min) == one_each
    assert sorted((each for each in scheduled(media, os.SCHED_OTHER) if len(each) == 1), key=min) == one_each
    assert "low_latency: must be true or false" in low_latency(node, on="yes")
    assert not low_latency(node, on=False)
    assert not node.ask("status")["media"]["low_latency"]
    assert scheduled(media, os.SCHED_IDLE) == []
    assert scheduled(media, os.SCHED_OTHER) == free


def test_no_packet_is_lost_while_low_latency_begins_and_ends(joined) -> None:
    call = joined("aes128").place()
    call.talk(50)
    call.talk(400, during=lambda: [low_latency(call.a, on=on) for on in (True, False, True)])
    assert "low_latency: off" in call.a.log()


def test_a_process_that_is_nicer_already_stays_so() -> None:
    child = os.fork()
    if not child:
        code = 1
        try:
            from vosctl.relay.priority import give_way  # noqa: PLC0415

            os.setpriority(os.PRIO_PROCESS, 0, MOST_NICE)
            give_way()
            code = int(os.getpriority(os.PRIO_PROCESS, 0) != MOST_NICE)
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
