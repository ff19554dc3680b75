"""Connections held for the next run: used where they work, replaced where they do not, never in a new login's place."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from push_samples import Recorder, connection, desired_of, options, site_of, sshd
from test_push_fleet import FILE, FULL

from vosctl.push import api
from vosctl.push.channel import Channel
from vosctl.push.connect import Connector
from vosctl.push.result import Status

HOST, OTHER = "10.231.0.2", "10.231.0.3"
pytestmark = [pytest.mark.netns, pytest.mark.requires("ssh")]


@pytest.fixture(autouse=True)
def _own_sockets(sockets):
    """Begin each test without a held connection."""


@pytest.fixture
def facts(fleet, there):
    def ask(host: str = HOST, *, fields=(), **chosen):
        common = {"user": "root", "private_key": fleet.private_key, "known_hosts": fleet.known_hosts}
        site = site_of(edge_a=connection(host, **{**common, **dict(fields)}))
        return there(api.facts_site, site, options=options(**{"transport": "held", **chosen}))["edge-a"]

    return ask


@pytest.fixture
def apply(fleet, there):
    common = {"user": "root", "private_key": fleet.private_key, "known_hosts": fleet.known_hosts}
    site = site_of(edge_a=connection(HOST, **common))

    def run(desired=FULL, heard=None, **chosen):
        chosen = options(**{"transport": "held", **chosen})
        heard = [heard] if heard is not None else []
        return there(api.apply_site, site, {"edge-a": desired}, options=chosen, processors=heard)["edge-a"]

    return run


def logins(fleet, name: str = "edge-a") -> int:
    return fleet.log(name).count("Accepted publickey")


def masters(sockets) -> list[int]:
    """The processes that hold connections now."""
    found = []
    for path in sockets.glob("*"):
        said = subprocess.run(["ssh", "-S", path, "-O", "check", "any"], capture_output=True, text=True, check=False)  # fmt: skip
        found += [int(number) for number in re.findall(r"pid=(\d+)", said.stderr)]
    return found


def test_next_run_does_not_log_in(fleet, facts, sockets):
    before = logins(fleet)
    assert facts().status is Status.OK
    assert logins(fleet) == before + 1
    assert facts().status is Status.OK
    assert logins(fleet) == before + 1
    assert len(masters(sockets)) == 1
    assert sockets.stat().st_mode & 0o777 == 0o700


def test_change_is_confirmed_over_a_new_login(fleet, apply):
    apply()
    before = logins(fleet)
    assert apply(desired_of(FILE)).status is Status.CHANGED
    assert logins(fleet) == before + 1
    assert apply(desired_of(FILE)).status is Status.OK
    assert logins(fleet) == before + 1


def test_nothing_is_held_unless_asked_for(fleet, facts, sockets):
    assert facts(transport="paramiko").status is Status.OK
    assert facts(persist=0).status is Status.OK
    assert not sockets.exists()


def test_control_persist_of_ssh_config(fleet, facts, sockets, tmp_path):
    config = tmp_path / "config"
    config.write_text("ControlMaster auto\nControlPersist 20\n")
    before = logins(fleet)
    for _ in range(2):
        assert facts(fields={"ssh_config": config}, transport="paramiko").status is Status.OK
    assert logins(fleet) == before + 1
    assert facts(fields={"ssh_config": config}, transport="paramiko", persist=0).status is Status.OK
    assert logins(fleet) == before + 2


def test_it_ends_when_nobody_used_it_for_its_time(facts, sockets):
    assert facts(persist=1).status is Status.OK
    (pid,) = masters(sockets)
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            break
        time.sleep(0.1)
    else:
        pytest.fail("the master still runs")
    assert facts(persist=1).status is Status.OK


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_master_that_died(fleet, facts, sockets, number):
    assert facts().status is Status.OK
    (pid,) = masters(sockets)
    os.kill(pid, number)
    time.sleep(0.2)
    before = logins(fleet)
    assert facts().status is Status.OK
    assert logins(fleet) == before + 1
    assert masters(sockets) != [pid]


def test_server_that_was_restarted(fleet, facts):
    assert facts().status is Status.OK
    fleet.reboot("edge-a")
    assert facts().status is Status.OK


def test_connection_that_died_without_a_word(fleet, facts, sockets):
    assert facts().status is Status.OK
    port = fleet.exec(
        "edge-a", ["sh", "-c", "ss -Htn state established '( sport = :22 )' | awk '{print $4}'"]
    )
    source = port.stdout.split()[0].rpartition(":")[2]
    rule = ["INPUT", "-p", "tcp", "--dport", "22", "--sport", source, "-j", "DROP"]
    fleet.exec("edge-a", ["iptables", "-I", *rule])
    try:
        before, start = logins(fleet), time.monotonic()
        assert facts().status is Status.OK
        assert logins(fleet) == before + 1
        assert 2 < time.monotonic() - start < 8  # half the time that a connection may take
    finally:
        fleet.exec("edge-a", ["iptables", "-D", *rule])


def test_server_without_room_for_another_session(fleet, there, facts):
    how = "sed 's/^Port .*/Port 2222/; s/sshd.pid/few.pid/; 1i MaxSessions 1' /etc/ssh/fleet/sshd_config > /etc/ssh/fleet/few"
    fleet.exec("edge-a", ["sh", "-c", how])
    known = fleet.known_hosts.parent / "few_known_hosts"
    line = next(line for line in fleet.known_hosts.read_text().splitlines() if HOST in line)
    known.write_text(f"[{HOST}]:2222 {' '.join(line.split()[1:3])}\n")
    sshd(fleet, "edge-a", "/etc/ssh/fleet/few", 2222)
    fields = {"port": 2222, "known_hosts": known}
    node = SimpleNamespace(
        name="edge-a", connection=connection(HOST, user="root", private_key=fleet.private_key, **fields)
    )
    try:
        made = there(lambda: Connector(options(transport="held")).open(node))
        first = Channel(made.open(["cat"]), timeout=10)
        first.receive_line()
        second = Channel(there(lambda: made.open(["echo", "here"])), timeout=10)
        second.receive_line()
        assert second.receive_line() == b"here"
        made.close()
    finally:
        fleet.exec("edge-a", ["sh", "-c", "kill $(cat /run/few.pid)"])


def test_two_runs_at_once(fleet, facts, sockets):
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda _: facts(), range(6)))
    assert {result.status for result in results} == {Status.OK}
    assert facts().status is Status.OK
    assert len([path for path in sockets.glob("*") if "." not in path.name]) == 1


def test_master_that_dies_in_the_middle_of_an_apply(fleet, apply, sockets):
    apply()
    killed: list[int] = []

    def kill() -> None:
        killed.extend(masters(sockets))
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

    before = logins(fleet)
    result = apply(desired_of(FILE), heard=Recorder(on_step={"files": kill}))
    assert len(killed) == 1
    assert result.status is Status.CHANGED, result.error
    assert "resumed" in result.report
    assert logins(fleet) > before


@pytest.mark.parametrize("what", ["group", "file", "link"])
def test_folder_that_others_could_write_to_is_not_used(fleet, facts, sockets, tmp_path, what):
    sockets.parent.mkdir(parents=True)
    if what == "group":
        sockets.mkdir(mode=0o770)
        sockets.chmod(0o770)
    elif what == "file":
        sockets.write_text("")
    else:
        sockets.symlink_to(tmp_path, target_is_directory=True)
    before = logins(fleet)
    for _ in range(2):
        assert facts().status is Status.OK
    assert logins(fleet) == before + 2
    assert not list(tmp_path.iterdir())


def test_somebody_else_at_the_socket(fleet, facts, sockets):
    """What listens there and speaks another language, or hangs up, is passed over."""
    assert facts().status is Status.OK
    (path,) = sockets.glob("*")
    subprocess.run(["ssh", "-S", path, "-O", "exit", "any"], capture_output=True, check=True)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other, ThreadPoolExecutor(1) as pool:
        other.bind(str(path))
        other.listen()

        def answer() -> None:
            client, _ = other.accept()
            client.sendall(b"\0\0\0\x08HTTP/1.1")
            client.close()

        served = pool.submit(answer)
        before = logins(fleet)
        assert facts().status is Status.OK
        served.result(5)
    assert logins(fleet) == before + 1


def test_changed_known_hosts_is_looked_at(fleet, facts, tmp_path):
    known = tmp_path / "known_hosts"
    known.write_text(fleet.known_hosts.read_text())
    assert facts(fields={"known_hosts": known}).status is Status.OK
    known.write_text("")
    assert facts(fields={"known_hosts": known}).status is Status.UNREACHABLE


def test_name_with_a_blank_and_a_per_cent_sign(fleet, facts, sockets, tmp_path):
    odd = tmp_path / "100% mine"
    odd.mkdir()
    for name in ("key", "known"):
        (odd / name).write_bytes({"key": fleet.private_key, "known": fleet.known_hosts}[name].read_bytes())
    (odd / "key").chmod(0o600)
    assert facts(fields={"private_key": odd / "key", "known_hosts": odd / "known"}).status is Status.OK
    assert len(masters(sockets)) == 1


def test_silent_node_is_waited_for_once(fleet, facts):
    with fleet.socket("edge-a", socket.AF_INET, socket.SOCK_STREAM) as silent:
        silent.bind((HOST, 2425))
        silent.listen()
        start = time.monotonic()
        result = facts(fields={"port": 2425}, connect_timeout=2.0)
    assert result.status is Status.UNREACHABLE
    assert "within 2 s" in str(result.error)
    assert time.monotonic() - start < 3.5
