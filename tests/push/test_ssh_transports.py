"""What every transport must do alike: reach, refuse, try again, give up, carry much both ways, go through jump hosts."""

from __future__ import annotations

import socket
import subprocess
import threading
from time import monotonic
from types import SimpleNamespace

import pytest
from push_samples import connection, options, site_of, sshd

from vosctl.errors import HostError, NoAnswerError, UnreachableError, UsageError
from vosctl.push import api
from vosctl.push.channel import Channel, ChannelEndedError
from vosctl.push.connect import Connector
from vosctl.push.result import Status

pytestmark = pytest.mark.netns
HOST, OTHER = "10.231.0.2", "10.231.0.3"


@pytest.fixture
def connect(fleet, there, transport):
    """Return a function that opens a connection to edge-a in the controller's network."""

    def opened(host: str = HOST, *, sleep=lambda _: None, tries: int = 1, limit: float = 5.0, **fields):
        common = {"user": "root", "private_key": fleet.private_key, "known_hosts": fleet.known_hosts}
        node = SimpleNamespace(name="edge-a", connection=connection(host, **{**common, **fields}))
        chosen = options(transport=transport, tries=tries, connect_timeout=limit)
        return there(lambda: Connector(chosen).open(node, sleep=sleep))

    return opened


@pytest.fixture
def facts(fleet, there, transport):
    def ask(host: str = HOST, **fields):
        common = {"user": "root", "private_key": fleet.private_key, "known_hosts": fleet.known_hosts}
        site = site_of(edge_a=connection(host, **{**common, **fields}))
        return there(api.facts_site, site, options=options(transport=transport))["edge-a"]

    return ask


def test_facts(facts):
    result = facts()
    assert result.status is Status.OK, result.error
    assert result.report["hostname"] == "edge-a"


BOTH_WAYS = """
import struct, sys
sys.stdout.buffer.write(b"o" * SIZE)
sys.stderr.write("e" * SIZE)
sys.stdout.buffer.write(struct.pack(">I", len(sys.stdin.buffer.read(SIZE))))
sys.exit(7)
"""


def test_both_sides_may_send_a_lot_at_once(connect):
    size = 6_000_000
    made = connect()
    running = Channel(made.open(["python3", "-c", BOTH_WAYS.replace("SIZE", str(size))]), timeout=60)
    running.receive_line()
    running.send(b"i" * size)
    assert running.receive(size) == b"o" * size
    assert int.from_bytes(running.receive(4), "big") == size
    assert running.exit_status() == 7
    running.close()
    made.close()


def test_connection_that_is_cut_ends_what_waits_on_it(connect):
    made = connect()
    running = Channel(made.open(["sleep", "60"]), timeout=30)
    running.receive_line()
    threading.Timer(0.3, made.close).start()
    start = monotonic()
    with pytest.raises(ChannelEndedError):
        running.receive(1)
    assert monotonic() - start < 5
    assert running.exit_status() is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"port": 23}, "refuses connections"),
        ({"user": "nobody-here"}, "login as nobody-here on 10.231.0.2 failed"),
        ({"private_key": "missing"}, "there is no such file"),
        ({"known_hosts": "missing"}, "is not known"),
    ],
)
def test_refusals(facts, tmp_path, fields, words):
    result = facts(
        **{name: tmp_path / value if value == "missing" else value for name, value in fields.items()}
    )
    assert isinstance(result.error, UnreachableError)
    assert words in str(result.error)
    assert result.error.hint


def test_no_answer_is_tried_again_and_the_tries_are_told(connect):
    pauses = []
    with pytest.raises(NoAnswerError) as caught:
        connect(port=23, tries=3, sleep=pauses.append)
    assert "port 23 refuses connections (3 tries)" in str(caught.value)
    assert pauses == [1.0, 2.0]


def test_server_that_comes_up_between_two_tries_is_reached(connect, fleet):
    config = (
        "sed 's/^Port .*/Port 2299/; s/sshd.pid/late.pid/' /etc/ssh/fleet/sshd_config > /etc/ssh/fleet/late"
    )
    fleet.exec("edge-a", ["sh", "-c", config])
    known = fleet.known_hosts.parent / "late_known_hosts"
    line = next(line for line in fleet.known_hosts.read_text().splitlines() if HOST in line)
    known.write_text(f"[{HOST}]:2299 {' '.join(line.split()[1:3])}\n")

    def start(_seconds: float) -> None:
        sshd(fleet, "edge-a", "/etc/ssh/fleet/late", 2299)

    try:
        connect(port=2299, tries=2, sleep=start, known_hosts=known).close()
    finally:
        fleet.exec("edge-a", ["sh", "-c", "kill $(cat /run/late.pid)"])


@pytest.mark.parametrize("fields", [{"user": "nobody-here"}, {"known_hosts": "nothing"}])
def test_what_another_try_cannot_better_is_told_at_once(connect, tmp_path, fields):
    pauses = []
    fields = {name: tmp_path / value if value == "nothing" else value for name, value in fields.items()}
    with pytest.raises(HostError) as caught:
        connect(tries=5, sleep=pauses.append, **fields)
    assert pauses == []
    assert "tries" not in str(caught.value)


def test_connection_attempts_and_connect_timeout_of_ssh_config(connect, fleet, tmp_path):
    config = tmp_path / "config"
    config.write_text("ConnectionAttempts 2\nConnectTimeout 1\n")
    with fleet.socket("edge-a", socket.AF_INET, socket.SOCK_STREAM) as silent:
        silent.bind((HOST, 2425))
        silent.listen()
        with pytest.raises(NoAnswerError) as caught:
            connect(port=2425, ssh_config=config, limit=30)
    assert "within 1 s (2 tries)" in str(caught.value)


def test_keepalives_find_out_that_a_node_dropped_dead(connect, fleet, tmp_path):
    config = tmp_path / "config"
    config.write_text("ServerAliveInterval 1\nServerAliveCountMax 2\n")
    made = connect(ssh_config=config)
    running = Channel(made.open(["sleep", "60"]), timeout=30)
    running.receive_line()
    fleet.exec("edge-a", ["iptables", "-I", "INPUT", "-p", "tcp", "--dport", "22", "-j", "DROP"])
    try:
        start = monotonic()
        with pytest.raises(ChannelEndedError):
            running.receive(1)
        assert monotonic() - start < 12
    finally:
        fleet.exec("edge-a", ["iptables", "-D", "INPUT", "-p", "tcp", "--dport", "22", "-j", "DROP"])
        made.close()


def test_jumps_and_proxy_command(facts, fleet, tmp_path):
    config = tmp_path / "config"
    config.write_text(
        f"Host inner\n HostName {OTHER}\n ProxyJump root@{HOST}\n"
        f"Host twice\n HostName {OTHER}\n ProxyJump {HOST},{OTHER}\n"
        f"Host nowhere\n HostName {OTHER}\n Port 9\n ProxyJump {HOST}\n"
        f"Host piped\n HostName {OTHER}\n ProxyCommand ssh -F {tmp_path}/plain -W %h:%p root@{HOST}\n"
        f"Host *\n IdentityFile {fleet.private_key}\n UserKnownHostsFile {fleet.known_hosts}\n User root\n"
    )
    (tmp_path / "plain").write_text(
        f"IdentityFile {fleet.private_key}\nUserKnownHostsFile {fleet.known_hosts}\nBatchMode yes\n"
    )
    for name in ("inner", "twice", "piped"):
        result = facts(name, ssh_config=config, private_key=None, known_hosts=None, user=None)
        assert result.status is Status.OK, result.error
        assert result.report["hostname"] == "edge-b"
    result = facts("nowhere", ssh_config=config, private_key=None, known_hosts=None, user=None)
    assert "the jump host does not get through" in str(result.error)


def test_ipv6(facts, fleet, tmp_path):
    for name, end in (("edge-a", "2"), (None, "1")):
        address = [
            "ip",
            "-6",
            "addr",
            "replace",
            f"fd00:231::{end}/64",
            "dev",
            interface(fleet, name),
            "nodad",
        ]
        fleet.inside(name, lambda words=address: run(words))
    known = tmp_path / "known_hosts"
    line = next(line for line in fleet.known_hosts.read_text().splitlines() if HOST in line)
    known.write_text(f"fd00:231::2 {' '.join(line.split()[1:3])}\n")
    result = facts("fd00:231::2", known_hosts=known)
    assert result.status is Status.OK, result.error
    config = tmp_path / "config"
    config.write_text("AddressFamily inet\n")
    assert "cannot be resolved" in str(facts("fd00:231::2", known_hosts=known, ssh_config=config).error)


def interface(fleet, name: str | None) -> str:
    shown = fleet.inside(name, lambda: run(["ip", "-o", "-4", "addr", "show"]))
    return next(line.split()[1].partition("@")[0] for line in shown.splitlines() if "10.231." in line)


def run(words: list[str]) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Ciphers aes256-ctr", ""),
        ("KexAlgorithms ^ecdh-sha2-nistp256", ""),
        ("MACs -hmac-sha1*,hmac-md5*", ""),
        ("Ciphers none-such", "ciphers none-such: none of these is offered"),
    ],
)
def test_algorithms_of_ssh_config(facts, tmp_path, line, words):
    config = tmp_path / "config"
    config.write_text(f"{line}\n")
    result = facts(ssh_config=config)
    if words:
        assert isinstance(result.error, UsageError)
        assert words in str(result.error)
    else:
        assert result.status is Status.OK, result.error


@pytest.mark.parametrize(
    ("named", "library"),
    [("auto", "SshTransport"), ("paramiko", "SshTransport"), ("asyncssh", "AsyncTransport")],
)
def test_the_library_is_the_one_that_was_named(fleet, there, named, library):
    fields = {"user": "root", "private_key": fleet.private_key, "known_hosts": fleet.known_hosts}
    node = SimpleNamespace(name="edge-a", connection=connection(HOST, **fields))
    made = there(lambda: Connector(options(transport=named)).open(node))
    assert type(made).__name__ == library
    made.close()
