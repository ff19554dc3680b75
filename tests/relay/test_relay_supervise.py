"""The supervisor: one at a time, children that come back, a clean end, and no start with a bad configuration."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from relay_calls import Call, until

from vosctl.errors import RelayError
from vosctl.relay import admin, supervise
from vosctl.relay.paths import connectable


@pytest.fixture
def node(nodes):
    node = nodes("edge")
    node.write()
    return node


def dead(pid: int) -> bool:
    """Whether the process is gone, or a zombie that only waits for somebody to look."""
    try:
        with Path(f"/proc/{pid}/stat").open() as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_status_tells_what_runs(node):
    assert node.run("status").returncode == 3
    assert json.loads(node.run("status").stdout) == {"ok": False, "running": False}
    node.start()
    done = node.run("status")
    status = json.loads(done.stdout)
    assert done.returncode == 0
    assert status["running"] is status["ok"] is status["media"]["up"] is True
    assert status["supervisor"] == int(node.paths.pidfile.read_text()) == supervise.running(node.paths)
    assert status["version"] == supervise.admin.ask(node.paths.control_socket, "status")["version"]
    assert node.paths.control_socket.stat().st_mode & 0o777 == 0o600
    assert (status["calls"], status["keys"], status["node"]) == (0, [], "edge")


def test_the_daemon_has_a_session_of_its_own_and_no_terminal(node):
    node.start()
    pid = supervise.running(node.paths)
    assert os.getsid(pid) not in {os.getsid(0), pid}
    assert str(Path(f"/proc/{pid}/fd/0").readlink()) == "/dev/null"
    assert Path(f"/proc/{pid}/fd/2").readlink() == node.paths.log


def test_a_second_one_is_refused(node):
    node.start()
    done = node.run("supervise")
    assert done.returncode == 1
    assert f"the relay runs already, process {supervise.running(node.paths)}" in done.stderr
    assert node.ask("status")["ok"]


def test_stop_of_what_does_not_run(node):
    done = node.run("stop")
    assert (done.returncode, done.stdout) == (0, "not running\n")


def test_no_start_with_a_bad_configuration(node):
    node.config["dscp"] = 184
    node.write()
    done = node.run("supervise")
    assert done.returncode == 1
    assert "relay.json: dscp: must be a whole number from 0 to 63" in done.stderr
    assert not node.paths.run.exists()
    node.paths.config.unlink()
    assert "apply the site to this node first" in node.run("supervise").stderr


def test_a_bad_reload_is_refused_whole(node):
    node.start()
    good = node.ask("status")["config_digest"]
    node.config["ports"] = [5, 1]
    node.write()
    reply = node.ask("reload")
    assert reply["ok"] is False
    assert "ports: must be [lowest, highest]" in reply["error"]
    os.kill(supervise.running(node.paths), signal.SIGHUP)
    until(lambda: node.log().count("reload refused") == 2)
    assert node.ask("status")["config_digest"] == good
    node.config["ports"] = [21000, 21010]
    node.write()
    os.kill(supervise.running(node.paths), signal.SIGHUP)
    until(lambda: node.ask("status")["config_digest"] != good)


def test_a_reload_moves_the_ng_socket_or_keeps_it(node):
    node.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((node.address, 2300))
        node.config["ng"] = [node.address, 2300]
        node.write()
        assert "Address already in use" in node.ask("reload")["error"]
    with node.client() as client, pytest.raises(RelayError):
        client.exchange(b"d7:command4:pinge")
    node.config["ng"] = [node.address, 2223]
    with node.client() as client:
        client.ping()
    node.config["ng"] = [node.address, 2301]
    node.write()
    assert node.ask("reload") == {"ok": True}
    with node.client() as client:
        client.ping()


def test_when_the_supervisor_is_killed_its_children_end_and_a_new_one_starts(node):
    node.start()
    status = node.ask("status")
    os.kill(supervise.running(node.paths), signal.SIGKILL)
    until(lambda: dead(status["pid"]) and dead(status["media"]["pid"]))
    assert supervise.running(node.paths) is None
    node.start()
    assert node.ask("status")["pid"] != status["pid"]


def test_in_the_foreground_it_stays_and_ends_on_sigterm(node):
    process = subprocess.Popen(
        [*node.command, "supervise", "--foreground", "--root", str(node.root)],
        stderr=subprocess.PIPE,
        text=True,
    )
    until(node.paths.control_socket.exists)
    until(lambda: admin.ask(node.paths.control_socket, "status")["media"]["up"])
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "control: INFO ready: node edge" in errors
    assert not [path for path in node.paths.run.iterdir() if path.is_socket()]
    assert not node.paths.pidfile.exists()


def test_a_socket_that_somebody_else_has_is_named_in_the_error(node, monkeypatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((node.address, 2223))
        done = node.run("supervise")
    assert done.returncode == 1
    assert f"does not start: NG socket {node.address}:2223: Address already in use" in done.stderr
    assert supervise.running(node.paths) is None


def test_a_folder_too_deep_for_a_socket_address_will_do(nodes):
    node = nodes("/".join(["deep" * 10] * 4))
    node.gateway("acme", "198.51.100.1")
    node.start()
    assert node.ask("status")["media"]["up"]
    status = json.loads(node.run("status").stdout)
    assert (status["running"], status["node"]) == (True, node.name)
    node.stop()
    assert not [path for path in node.paths.run.iterdir() if path.is_socket()]


def test_the_log_may_be_moved_away(node):
    node.start()
    node.paths.log.rename(node.paths.run / "relay.log.1")
    assert node.ask("reload") == {"ok": True}
    assert "reloaded: configuration" in node.log()


@pytest.mark.parametrize("line", [b"nonsense\n", b"[]\n", b'{"cmd":"dance"}\n', b"[" * 30_000 + b"\n"])
def test_the_admin_socket_answers_what_it_does_not_understand(node, line):
    node.start()
    with socket.socket(socket.AF_UNIX) as raw, connectable(node.paths.control_socket) as name:
        raw.settimeout(5)
        raw.connect(name)
        raw.sendall(line)
        reply = json.loads(raw.makefile().readline())
    assert reply["ok"] is False
    assert reply["error"].startswith(
        ("not JSON", "a request is", "no command 'dance' (there are activate, calls, drain, keys, reload")
    )
    assert node.ask("status")["ok"]


def test_a_call_without_media_is_closed_but_not_one_that_rings_or_is_held(nodes, phones):
    node = nodes("edge")
    node.config["rtp_timeout"] = 1
    node.start()
    caller, callee = phones(), phones()
    with node.client() as client:
        client.offer("rings", "f", caller.sdp())
        for name, attributes in (("gone", ()), ("held", ("a=inactive",))):
            client.offer(name, "f", caller.sdp(*attributes))
            client.answer(name, "f", "t", callee.sdp())
        until(lambda: "call gone: no media for 1 s, closed" in node.log())
        time.sleep(1)
        left = {call["call-id"] for call in node.ask("calls")["calls"]}
        assert left == {"rings", "held"}
        assert client.delete("gone", "f")["warning"]


def test_a_call_goes_on_while_one_side_speaks(nodes, phones):
    node = nodes("edge")
    node.config["rtp_timeout"] = 1
    node.start()
    call = Call(node, node, phones(), phones())
    with node.client() as client:
        call.to_callee = client.offer("one-way", "f", call.caller.sdp())
        call.to_caller = client.answer("one-way", "f", "t", call.callee.sdp())
        for _ in range(25):
            call.caller.send(bytes([0x80, 8, 0, 1]) + bytes(8) + b"x" * 160, call.to_caller)
            time.sleep(0.1)
        assert node.ask("status")["calls"] == 1
        until(lambda: node.ask("status")["calls"] == 0)
    call.close()
