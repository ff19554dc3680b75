"""The demo as people run it: it tells the whole story, and nothing of it stays behind however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from vosctl.demo.commands import default_directory
from vosctl.demo.stage import change, program
from vosctl.errors import VosctlError
from vosctl.fleet import state

STORY = (
    "Apply the site",
    "bit for bit",
    "0 in clear, 500 decrypt to the voice",
    "nothing differed",
    '"concurrent": 500',
    "All of it held, and all of it is gone again.",
)


def demo(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (program(), "demo", arguments[0], "--state", str(directory), *arguments[1:]),
        capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip


def start(directory: Path, *options: str) -> subprocess.Popen[str]:
    # A session of its own: signals then reach the demo and its children, as a terminal's Ctrl-C does.
    return subprocess.Popen(
        (program(), "demo", "run", "--state", str(directory), *options), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def nothing_left(directory: Path) -> bool:
    assert state.named(directory / "run" / "fleet") is None
    assert str(directory) not in Path("/proc/mounts").read_text()
    assert not (directory / "run").exists()
    return not [path for path in Path("/proc").glob("[0-9]*") if str(directory) in command(path)]


def command(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


@pytest.fixture
def directory(tmp_path):
    """A short one: Unix sockets below it have names of 107 bytes at most."""
    short = Path("/tmp", f"vd{os.getpid()}-{time.monotonic_ns() % 10**9}")
    yield short
    demo(short, "down")
    for path in sorted(short.glob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    if short.exists():
        short.rmdir()


@pytest.mark.netns
@pytest.mark.slow
def test_the_story_in_namespaces(directory):
    result = demo(directory, "run")
    assert result.returncode == 0, result.stdout + result.stderr
    for words in (*STORY, "friendly-scanner sweep: 0 of 200", "a customer's calls: 5 of 5", "VOS-SIGNATURES"):
        assert words in result.stdout
    assert nothing_left(directory)


@pytest.mark.slow
def test_the_story_without_privileges(directory, loopback):
    result = demo(directory, "run", "--without-privileges")
    assert result.returncode == 0, result.stdout + result.stderr
    for words in (*STORY, "the nodes are directories", "compiled, not loaded", " held"):
        assert words in result.stdout
    assert nothing_left(directory)


@pytest.mark.netns
@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("Hosts", signal.SIGTERM),
        ("Apply the site", signal.SIGINT),
        ("A call over", signal.SIGTERM),
        ("A scanner", signal.SIGINT),
    ],
)
def test_an_interrupted_demo_cleans_up(directory, words, number):
    with start(directory) as running:
        for line in running.stdout:
            if words in line:
                break
        time.sleep(0.3)
        os.killpg(running.pid, number)
        rest = running.stdout.read()
    assert running.returncode == 130, rest
    assert "Traceback" not in rest
    assert nothing_left(directory)


@pytest.mark.slow
@pytest.mark.parametrize("words", ["Apply the site", "A call over"])
def test_an_interrupted_demo_without_privileges_cleans_up(directory, words, loopback):
    with start(directory, "--without-privileges") as running:
        for line in running.stdout:
            if words in line:
                break
        time.sleep(1.5)
        os.killpg(running.pid, signal.SIGINT)
        rest = running.stdout.read()
    assert running.returncode == 130, rest
    assert nothing_left(directory)


@pytest.mark.netns
@pytest.mark.parametrize("options", [(), ("--without-privileges",)])
def test_what_a_killed_demo_left_is_removed(directory, options, loopback):
    with start(directory, *options) as running:
        for line in running.stdout:
            if "A call over" in line:
                break
        os.killpg(running.pid, signal.SIGKILL)
    assert (directory / "run").exists()
    assert demo(directory, "down").returncode == 0
    assert nothing_left(directory)


@pytest.mark.netns
def test_hosts_stay_up_to_work_with(directory):
    up = demo(directory, "up")
    assert up.returncode == 0, up.stderr
    assert "vosctl demo exec controller vosctl apply playbooks/site.yml" in up.stdout
    assert demo(directory, "exec", "edge-b", "hostname").stdout == "edge-b\n"
    assert demo(directory, "exec", "edge-b", "sh", "-c", "exit 7").returncode == 7
    shown = demo(directory, "exec", "controller", "sh", "-c", "ip -4 addr; env | grep VOSCTL_").stdout
    assert "10.231.255.1" in shown
    assert f"VOSCTL_KNOWN_HOSTS={directory}/fleet/known_hosts" in shown
    down = demo(directory, "down")
    assert (down.returncode, down.stdout) == (0, "the hosts are gone\n")
    assert demo(directory, "down").stdout == "no hosts were up\n"
    gone = demo(directory, "exec", "edge-b", "true")
    assert gone.returncode == 1
    assert "vosctl demo up" in gone.stderr


@pytest.mark.netns
def test_any_number_of_nodes(directory):
    assert demo(directory, "up", "9").returncode == 0
    assert demo(directory, "exec", "node-009", "hostname").stdout == "node-009\n"
    assert demo(directory, "up", "1").returncode == 64


@pytest.mark.netns
def test_two_demos_do_not_share_a_directory(directory):
    with start(directory) as running:
        for line in running.stdout:
            if "Hosts" in line:
                break
        second = demo(directory, "run")
        os.killpg(running.pid, signal.SIGINT)
    assert second.returncode == 1
    assert "another demo runs" in second.stderr


def test_an_edit_must_fit_exactly_once(tmp_path):
    path = tmp_path / "vars.yml"
    path.write_text("tier: small\nother: small\n")
    change(path, "tier: small", "tier: large")
    assert path.read_text() == "tier: large\nother: small\n"
    with pytest.raises(VosctlError, match="stands there 0 times"):
        change(path, "tier: small", "tier: large")


def test_where_the_state_is():
    assert default_directory({"XDG_RUNTIME_DIR": "/run/user/7"}) == Path("/run/user/7/vosctl-demo")
    assert default_directory({}).name.startswith("vosctl-demo")
