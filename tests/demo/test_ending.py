"""What a demo without hosts of its own ends: all that it began, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vosctl.demo import local
from vosctl.fleet.state import Process, kill_all

LEAVES_A_CHILD = (
    sys.executable,
    "-c",
    "import subprocess as s; print(s.Popen(('sleep', '60'), stdout=-3, stderr=-3).pid)",
)


def left_behind() -> Process:
    """A process whose parent has ended."""
    return Process.of(int(subprocess.run(LEAVES_A_CHILD, capture_output=True, check=True).stdout))


def parent(process: Process) -> int:
    stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii")
    return int(stat.rpartition(")")[2].split()[1])


def test_all_that_began_is_ended_and_what_ran_before_is_not():
    with subprocess.Popen(("sleep", "60")) as before:
        try:
            with local.ending_all():
                orphan = left_behind()
                assert parent(orphan) == os.getpid()
                child = subprocess.Popen(("sleep", "60"))
            assert not orphan.alive()
            assert child.wait() < 0
            assert before.poll() is None
        finally:
            before.kill()


def test_what_is_left_behind_later_is_not_adopted():
    """The host of a fleet cannot end before each of its processes is waited for, and nobody here would."""
    with local.ending_all():
        pass
    orphan = left_behind()
    try:
        assert parent(orphan) != os.getpid()
    finally:
        kill_all([orphan])


def test_what_does_not_die_is_named(monkeypatch):
    with subprocess.Popen(("sleep", "60")) as stubborn:
        monkeypatch.setattr(os, "kill", lambda *_: None)  # as where it hangs in the kernel
        with pytest.raises(TimeoutError, match=rf"process {stubborn.pid} \(sleep 60\)$"):
            kill_all([Process.of(stubborn.pid)], seconds=0.05)
        monkeypatch.undo()
        stubborn.kill()


def test_a_group_is_killed():
    group = [subprocess.Popen(("sleep", "60")) for _ in range(20)]
    kill_all([Process.of(each.pid) for each in group])
    assert [each.wait() for each in group] == [-9] * 20
