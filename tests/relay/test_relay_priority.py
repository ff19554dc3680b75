"""What runs Python on a node makes room for the threads that relay packets, whatever the relay was started as."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
