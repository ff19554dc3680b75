"""Services: a supervised daemon on a directory, init scripts on a host, the real relay."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest
from agent_client import Machine, Target, Wanted, wait_until
from daemon_source import DAEMON

from vosctl.relay.release import Release, build_release

PID = "/run/daemon.pid"
CONFIG = "/etc/voice/daemon.json"


@pytest.fixture
def node(folder: Target) -> Iterator[Target]:
    for path in ("/run", "/opt/daemon"):
        folder.path(path).mkdir(parents=True)
    program = folder.path("/opt/daemon/voiced")
    program.write_bytes(DAEMON)
    program.chmod(0o755)
    yield folder
    for pid in pids(folder):
        os.kill(pid, signal.SIGKILL)


def pids(folder: Target) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-f", f"voiced supervise --root {folder.root}$"],
        capture_output=True,
        text=True,
        check=False,
    )
    return [int(pid) for pid in found.stdout.split()]


def sample(config: dict[str, Any] | None = None, **fields: Any) -> Wanted:
    content = json.dumps(config or {}).encode()
    wanted = Wanted().file(CONFIG, content, reload="voice")
    return wanted.service("voice", supervise=["/opt/daemon/voiced", "supervise"], pidfile=PID, **fields)


def log(folder: Target) -> list[str]:
    path = folder.path("/run/daemon.log")
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def test_a_daemon_is_started_reloaded_and_left_alone(node: Target) -> None:
    assert node.inspect(sample())["services"]["voice"] == {"state": "stopped", "enabled": True, "known": True}
    assert node.settle(sample())["changed"] == [f"file {CONFIG}", "service voice start"]
    (pid,) = pids(node)
    assert node.inspect(sample())["services"]["voice"]["state"] == "running"
    assert node.settle(sample())["changed"] == []
    applied = node.settle(sample({"a": 1}))
    assert applied["changed"] == [f"file {CONFIG}", "service voice reload"]
    assert applied["restarted"] == ["voice"]
    assert wait_until(lambda: log(node) == ["start", "reload"])
    assert pids(node) == [pid]


def test_a_dead_daemon_is_started_again(node: Target) -> None:
    node.settle(sample())
    os.kill(pids(node)[0], signal.SIGKILL)
    assert wait_until(lambda: not pids(node))
    assert node.inspect(sample())["services"]["voice"]["state"] == "stopped"
    assert node.settle(sample())["changed"] == ["service voice start"]
    assert len(pids(node)) == 1


def test_stopping(node: Target) -> None:
    node.settle(sample())
    assert node.settle(sample(state="stopped"))["changed"] == ["service voice stop"]
    assert pids(node) == []
    assert log(node) == ["start", "stop"]


@pytest.mark.parametrize(
    ("config", "said"),
    [({"refuse": True}, "this configuration is refused"), ({"die": 0.1}, "ended right after")],
)
def test_a_daemon_that_does_not_start_takes_everything_back(
    node: Target, config: dict[str, Any], said: str
) -> None:
    answer = node.apply(sample(config))
    assert (answer["op"], answer["rolled_back"], answer["step"], answer["item"]) == (
        "failed",
        True,
        "services",
        "voice",
    )
    assert said in answer["error"]
    assert not node.path("/etc").exists()
    assert pids(node) == []


def test_a_daemon_started_by_an_unconfirmed_apply_is_stopped(node: Target) -> None:
    assert node.apply(sample(), window=0.5)["op"] == "applied"
    assert len(pids(node)) == 1
    assert wait_until(lambda: not pids(node) and not node.path("/etc").exists())


def test_an_unconfirmed_reload_is_reloaded_back(node: Target) -> None:
    node.settle(sample())
    (pid,) = pids(node)
    node.apply(sample({"a": 1}), window=0.5)
    assert wait_until(lambda: log(node) == ["start", "reload", "reload"])
    assert node.path("/run/daemon.log").read_text().splitlines()[-1] == "reload {}"
    assert pids(node) == [pid]


def test_an_unconfirmed_stop_is_started_again(node: Target) -> None:
    node.settle(sample())
    node.apply(sample(state="stopped"), window=0.5)
    assert wait_until(lambda: log(node) == ["start", "stop", "start"] and len(pids(node)) == 1)


@pytest.mark.parametrize("who", ["nobody", "somebody", "me"])
def test_a_pidfile_that_names_another_process_is_not_believed(node: Target, who: str) -> None:
    other = subprocess.Popen(["sleep", "60"])
    try:
        pid = {"nobody": 4194304, "somebody": other.pid, "me": os.getpid()}[who]
        node.path(PID).write_text(f"{pid}\n")
        node.path(CONFIG).parent.mkdir(parents=True)
        node.path(CONFIG).write_bytes(b"{}")
        assert node.inspect(sample())["services"]["voice"]["state"] == "stopped"
        node.settle(sample(state="stopped"))
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_command_that_is_not_there(node: Target) -> None:
    node.path("/opt/daemon/voiced").unlink()
    answer = node.apply(sample())
    assert (answer["op"], answer["rolled_back"]) == ("failed", True)
    assert "/opt/daemon/voiced is not there" in answer["error"]


SCRIPT = """#!/bin/sh
### BEGIN INIT INFO
# Provides: thing
# Required-Start:
# Required-Stop:
# Default-Start: 2 3 4 5
# Default-Stop: 0 1 6
### END INIT INFO
case $1 in
  start) sleep 1000 >/dev/null 2>&1 & echo $! >/run/thing.pid ;;
  stop) kill $(cat /run/thing.pid); rm -f /run/thing.pid ;;
  reload) echo reload >>/run/thing.log ;;
  status) [ -e /run/thing.pid ] && kill -0 $(cat /run/thing.pid) ;;
  *) exit 2 ;;
esac
"""


@pytest.fixture
def scripted(nft: Machine) -> Iterator[Machine]:
    path = nft.path("/etc/init.d/thing")
    path.write_text(SCRIPT)
    path.chmod(0o755)
    yield nft
    nft.run(
        "/etc/init.d/thing stop; update-rc.d -f thing remove; rm -f /etc/init.d/thing /run/thing.*",
        check=False,
    )


@pytest.mark.netns
def test_an_init_script(scripted: Machine) -> None:
    wanted = Wanted().file("/etc/voice/thing", b"1", reload="thing").service("thing")
    assert scripted.inspect(wanted)["services"]["thing"] == {
        "state": "stopped",
        "enabled": False,
        "known": True,
    }
    assert scripted.settle(wanted)["changed"] == [
        "file /etc/voice/thing",
        "service thing enabled",
        "service thing start",
    ]
    assert scripted.inspect(wanted)["services"]["thing"] == {
        "state": "running",
        "enabled": True,
        "known": True,
    }
    assert scripted.settle(wanted)["changed"] == []
    # A file may name a service that the site does not manage.
    other = Wanted().file("/etc/voice/thing", b"2", reload="thing")
    assert scripted.settle(other)["changed"] == ["file /etc/voice/thing", "service thing reload"]
    assert scripted.run("cat /run/thing.log") == "reload\n"
    # The lock did not go to what the script left behind.
    assert scripted.ask("status")["lock"] is None
    stopped = Wanted().service("thing", state="stopped", enabled=False)
    scripted.settle(stopped)
    assert scripted.inspect(stopped)["services"]["thing"] == {
        "state": "stopped",
        "enabled": False,
        "known": True,
    }


@pytest.mark.netns
@pytest.mark.parametrize("how", ["wanted", "named by a file"])
def test_an_unknown_service(nft: Machine, how: str) -> None:
    wanted = Wanted().file("/etc/voice/a", b"1", reload="nosuch" if how != "wanted" else None)
    if how == "wanted":
        wanted.service("nosuch")
        assert not nft.inspect(wanted)["services"]["nosuch"]["known"]
    answer = nft.apply(wanted)
    assert (answer["op"], answer["rolled_back"]) == ("failed", True)
    assert "nosuch is not known" in answer["error"]
    assert not nft.path("/etc/voice").exists()


@lru_cache(maxsize=1)
def release() -> Release:
    return build_release()


@pytest.fixture
def relay_node(folder: Target) -> Iterator[Target]:
    # A Unix socket's path is short: a real node has no such prefix.
    yield folder
    folder.settle(relay(folder, {"dscp": 46}, state="stopped"))


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


PORT = free_port()


def relay(folder: Target, change: dict[str, Any], *, archive: bytes = b"", **fields: Any) -> Wanted:
    config = {
        "version": 1, "node": "n", "addresses": ["127.0.0.1"], "ng": ["127.0.0.1", PORT], "ports": [30000, 30100], "dscp": 46,
        "rtp_timeout": 30, "ptime": 20, "gateways": {}, "trunks": {}, **change,
    }  # fmt: skip
    wanted = Wanted().file(
        "/etc/vosctl/relay.json", json.dumps(config, sort_keys=True).encode(), reload="vosctl-relay"
    )
    wanted.file(
        "/etc/vosctl/relay-keys.json",
        b'{"version":1,"keys":{}}',
        mode=0o600,
        secret=True,
        reload="vosctl-relay",
    )
    wanted.releases(archive or release().archive)
    command = ["/opt/vosctl/current/bin/vosctl-relay", "supervise"]
    return wanted.service(
        "vosctl-relay", supervise=command, pidfile="/run/vosctl-relay/supervisor.pid", **fields
    )


def supervisor(folder: Target) -> int:
    return int(folder.path("/run/vosctl-relay/supervisor.pid").read_text())


@pytest.mark.slow
def test_the_real_relay_is_installed_started_reloaded_upgraded_and_put_back(relay_node: Target) -> None:
    node = relay_node
    first = node.settle(relay(node, {}))
    assert first["changed"][-1] == "service vosctl-relay start"
    status = node.ask("status")["relay"]
    assert status["ok"]
    assert status["config_digest"] == relay(node, {}).files["/etc/vosctl/relay.json"]["digest"]
    assert node.settle(relay(node, {}))["changed"] == []
    pid = supervisor(node)
    # A reload: another configuration, the same process.
    node.settle(relay(node, {"dscp": 34}))
    assert (
        node.ask("status")["relay"]["config_digest"]
        == relay(node, {"dscp": 34}).files["/etc/vosctl/relay.json"]["digest"]
    )
    assert supervisor(node) == pid
    # A configuration that the relay refuses: in its words, and everything as before.
    answer = node.apply(relay(node, {"ports": "many"}))
    assert (answer["op"], answer["rolled_back"], answer["step"]) == ("failed", True, "services")
    assert "refuses its configuration" in answer["error"]
    assert (
        node.ask("status")["relay"]["config_digest"]
        == relay(node, {"dscp": 34}).files["/etc/vosctl/relay.json"]["digest"]
    )
    assert supervisor(node) == pid
    # Another release upgrades it in place, and its media, the same in both, goes on; without a confirmation
    # the old one runs again.
    media = node.ask("status")["relay"]["media"]["pid"]
    link = os.readlink(node.path("/opt/vosctl/current"))  # noqa: PTH115  as text
    other = relay(node, {"dscp": 34}, archive=release().archive + b"\0" * 512)
    applied = node.apply(other, window=0.5)
    assert applied["changed"][0].startswith("release 0.1.0-")
    assert applied["changed"][-1] == "service vosctl-relay upgrade"
    assert wait_until(lambda: node.ask("status")["pending"] is None)
    assert os.readlink(node.path("/opt/vosctl/current")) == link  # noqa: PTH115
    status = node.ask("status")["relay"]
    assert status["ok"]
    assert link.endswith(status["release"])
    assert (supervisor(node), status["media"]["pid"]) == (pid, media)
