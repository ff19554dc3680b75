"""What the relay may do on its node: no capabilities, no way to more, and a unit that says the same to systemd."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from relay_calls import Node, g711

from vosctl.compile.text import render
from vosctl.relay.paths import RelayPaths

# Out of 10, less is better; docs/relay.md names it.
WORST_SCORE, WORST_WITH_KERNEL_PATH = 1.5, 1.8


@pytest.fixture
def node(nodes, tmp_path):
    node = nodes("edge")
    node.write()
    run = tmp_path / "run"
    words = ["--config", str(node.paths.config), "--keys", str(node.paths.keys), "--run", str(run)]
    node.paths = RelayPaths(node.paths.config, node.paths.keys, run)

    def command(name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*node.command, name, *words], check=False, capture_output=True, text=True, timeout=60
        )

    node.run = command
    return node


def powers(pid: int) -> dict[str, int]:
    found = re.findall(
        r"^(Cap\w+|NoNewPrivs):\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE
    )
    return {name: int(value, 16) for name, value in found}


def test_no_process_of_it_has_a_capability(node: Node, phones) -> None:
    node.start()
    status = json.loads(node.run("status").stdout)
    for pid in (status["supervisor"], status["pid"], status["media"]["pid"]):
        found = powers(pid)
        assert (found["CapEff"], found["CapPrm"], found["CapInh"], found["CapAmb"]) == (0, 0, 0, 0)
        assert found["NoNewPrivs"] == 1
        assert found["CapBnd"] == 0 or os.geteuid(), "root can close the bounding set too"
    caller, callee = phones(), phones()
    with node.client() as client:
        client.offer("c", "f", caller.sdp())
        to_caller = client.answer("c", "f", "t", callee.sdp())
        for packet in g711(5, seed=1):
            caller.send(packet, to_caller)
        assert len(callee.drain(5)) == 5
        assert node.ask("reload") == {"ok": True}


def test_the_data_plane_loads_where_no_memory_may_become_code(tmp_path: Path) -> None:
    """PR_SET_MDWE (Linux 6.3) stands in for MemoryDenyWriteExecute=."""
    script = (
        "import ctypes, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) and sys.exit('refused'); "
        "from vosctl.relay.media import build; from vosctl.relay.media.plane import Plane; "
        "plane = Plane(build.LIBRARY); plane.start(workers=1, files=1024); plane.stop(); print('fine')"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    if done.stderr == "refused\n":
        pytest.skip("needs prctl(PR_SET_MDWE), Linux 6.3 or newer")
    assert done.stdout == "fine\n", done.stderr


@pytest.mark.requires("systemd-analyze")
@pytest.mark.parametrize(("kernel_path", "worst"), [(False, WORST_SCORE), (True, WORST_WITH_KERNEL_PATH)])
def test_systemd_finds_nothing_wrong_with_the_unit_and_scores_it(
    tmp_path: Path, kernel_path: bool, worst: float
) -> None:
    unit = tmp_path / "vosctl-relay.service"
    unit.write_text(
        render(
            "relay/vosctl-relay.service.j2",
            calls=100,
            files=65536,
            account="vosrelay",
            kernel_path=kernel_path,
        ).decode()
    )
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    score = re.search(r"Overall exposure level for .*: ([\d.]+)", done.stdout)
    assert score, done.stdout + done.stderr
    assert float(score[1]) <= worst, done.stdout
    assert "Unknown" not in done.stderr, done.stderr
