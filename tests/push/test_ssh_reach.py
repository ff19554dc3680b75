"""Getting to a host over real SSH, and what is said where that fails."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace
from push_samples import connection, desired_of, options, site_of

from vosctl.errors import UnreachableError, UsageError
from vosctl.push import api
from vosctl.push.known_hosts import KnownHosts
from vosctl.push.result import Status, exit_code
from vosctl.push.ssh_config import Endpoint

pytestmark = pytest.mark.netns
HOST = "10.231.0.2"


@pytest.fixture
def reach(fleet, there, tmp_path):
    """Return a function that asks edge-a for its facts with given connection fields and options."""

    def ask(host: str = HOST, *, keys: Path | None = None, **fields):
        chosen = {name: fields.pop(name) for name in tuple(fields) if name in OPTIONS}
        made = connection(
            host,
            private_key=keys or fleet.private_key,
            **{"known_hosts": fleet.known_hosts, "user": "root", **fields},
        )
        results = there(api.facts_site, site_of(edge_a=made), options=options(**chosen))
        return results["edge-a"]

    return ask


OPTIONS = (
    "connect_timeout",
    "timeout",
    "agent",
    "home",
    "user_override",
    "ssh_config_override",
    "post_quantum",
)


def refused(result, *words: str) -> UnreachableError:
    assert result.status is Status.UNREACHABLE, result
    assert isinstance(result.error, UnreachableError)
    assert exit_code({"edge-a": result}) == 4
    for word in words:
        assert word in str(result.error)
    assert result.error.hint
    return result.error


def host_key(fleet) -> str:
    """The type and key of edge-a."""
    line = next(line for line in fleet.known_hosts.read_text().splitlines() if HOST in line)
    return " ".join(line.split()[1:3])


def fingerprint(public: str, tmp_path: Path) -> str:
    (tmp_path / "k.pub").write_text(public + "\n")
    shown = subprocess.run(
        ["ssh-keygen", "-lf", tmp_path / "k.pub"], capture_output=True, text=True, check=True
    )
    return shown.stdout.split()[1]


def new_key(path: Path, *arguments: str) -> str:
    subprocess.run(["ssh-keygen", "-q", "-f", path, *(arguments or ("-N", "", "-t", "ed25519"))], check=True)
    return path.with_name(path.name + ".pub").read_text().strip()


def test_facts(reach, fleet):
    result = reach()
    assert result.status is Status.OK, result.error
    assert result.report["hostname"] == "edge-a"


def test_unknown_host_key_is_refused_and_the_command_shown_accepts_it(reach, fleet, tmp_path):
    known = tmp_path / "known hosts"
    error = refused(reach(known_hosts=known), "is not known", fingerprint(host_key(fleet), tmp_path))
    assert not known.exists()
    command = error.hint.partition("accept it with: ")[2]
    subprocess.run(["sh", "-c", command], check=True)
    assert reach(known_hosts=known).status is Status.OK


def test_changed_host_key_is_refused_and_the_command_shown_accepts_it(reach, fleet, tmp_path):
    known = tmp_path / "known_hosts"
    other = new_key(tmp_path / "other")
    known.write_text(f"{HOST} {other}\n")
    error = refused(
        reach(known_hosts=known),
        "has changed",
        fingerprint(host_key(fleet), tmp_path),
        fingerprint(other, tmp_path),
    )
    command = error.hint.partition("compare the fingerprint there, then: ")[2]
    subprocess.run(["sh", "-c", command], check=True, capture_output=True)
    assert reach(known_hosts=known).status is Status.OK


@pytest.mark.parametrize("kind", ["hashed", "pattern", "revoked", "negated", "garbage"])
def test_known_hosts_lines(reach, fleet, tmp_path, kind):
    known = tmp_path / "known_hosts"
    key = host_key(fleet)
    lines = {
        "hashed": f"{HOST} {key}\n",
        "pattern": f"10.231.0.* {key}\n",
        "revoked": f"@revoked * {key}\n{HOST} {key}\n",
        "negated": f"10.231.*,!{HOST} {key}\n",
        "garbage": f"\n# {HOST}\n{HOST}\n{HOST} ssh-ed25519 !!!\n{HOST} ssh-new AAAA\n@cert-authority * {key}\n\xff\n",
    }
    known.write_text(lines[kind], encoding="latin-1")
    if kind == "hashed":
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)
        assert HOST not in known.read_text()
    result = reach(known_hosts=known)
    if kind in ("hashed", "pattern"):
        assert result.status is Status.OK
    else:
        refused(result, "revoked" if kind == "revoked" else "not known")


def test_key_of_the_known_type_is_asked_for(fleet, tmp_path):
    """A server offers several keys: the one in known_hosts is what counts."""
    known = tmp_path / "known_hosts"
    known.write_text(
        f"h {new_key(tmp_path / 'rsa', '-t', 'rsa', '-b', '2048', '-N', '')}\n[h]:2 {host_key(fleet)}\n"
    )
    endpoint = Endpoint("h", 22, "root", "h", (known,), (), required=False, agent=False)
    assert KnownHosts().preferred(endpoint) == ("rsa-sha2-512", "rsa-sha2-256")
    assert KnownHosts().preferred(replace(endpoint, known_as="[h]:2")) == ("ssh-ed25519",)
    assert KnownHosts().preferred(replace(endpoint, known_as="other")) == ()


def test_closed_port(reach):
    refused(reach(port=23), "10.231.0.2 port 23 refuses connections")


def test_black_hole(reach, fleet):
    fleet.exec("edge-a", ["iptables", "-A", "INPUT", "-p", "tcp", "--dport", "2323", "-j", "DROP"])
    refused(reach(port=2323, connect_timeout=0.5), "no answer from 10.231.0.2 port 2323 within 0.5 s")


def test_name_that_does_not_resolve(reach):
    refused(reach("no-such-host.invalid"), "cannot be resolved")


def test_server_that_says_nothing(reach, fleet):
    with fleet.socket("edge-a", socket.AF_INET, socket.SOCK_STREAM) as silent:
        silent.bind((HOST, 2424))
        silent.listen()
        refused(reach(port=2424, connect_timeout=0.5), "no SSH handshake", "0.5 s")


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n" + bytes(200)])
def test_server_that_is_no_ssh(reach, fleet, said):
    with fleet.socket("edge-a", socket.AF_INET, socket.SOCK_STREAM) as other:
        other.bind((HOST, 0))
        other.listen()
        thread = threading.Thread(target=answer_once, args=(other, said))
        thread.start()
        refused(reach(port=other.getsockname()[1], connect_timeout=1), "no SSH handshake")
        thread.join()


def answer_once(listener: socket.socket, said: bytes) -> None:
    client = listener.accept()[0]
    with client:
        client.sendall(said)
        client.settimeout(2)
        client.recv(100)


def test_key_that_the_host_does_not_take(reach, fleet, tmp_path):
    new_key(tmp_path / "other")
    error = refused(
        reach(keys=tmp_path / "other"), "login as root on 10.231.0.2 failed", "refused", "SHA256:"
    )
    assert "authorized_keys" in error.hint


@pytest.mark.parametrize("kind", ["missing", "no key", "encrypted"])
def test_key_file_that_cannot_be_used(reach, tmp_path, kind):
    path = tmp_path / "key"
    if kind == "no key":
        path.write_text("hello")
    if kind == "encrypted":
        new_key(path, "-t", "ed25519", "-N", "a passphrase")
    reason = {
        "missing": "there is no such file",
        "no key": "not a private key",
        "encrypted": "add it to ssh-agent",
    }[kind]
    refused(reach(keys=path), str(path), reason)


def test_unknown_user(reach):
    refused(reach(user="nobody-here"), "login as nobody-here")


def test_agent_key(fleet, there, tmp_path, monkeypatch):
    sock = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", sock], stdout=subprocess.DEVNULL)
    try:
        while not sock.exists():
            assert agent.poll() is None
        env = {**os.environ, "SSH_AUTH_SOCK": str(sock)}
        subprocess.run(["ssh-add", "-q", fleet.private_key], env=env, check=True, capture_output=True)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(sock))
        site = site_of(edge_a=connection(HOST, user="root", known_hosts=fleet.known_hosts))
        assert there(api.facts_site, site, options=options(agent=True))["edge-a"].status is Status.OK
        without = there(api.facts_site, site, options=options(agent=False))["edge-a"]
        refused(without, "no key to try")
    finally:
        agent.terminate()
        agent.wait()


def config_of(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "ssh_config"
    path.write_text(text)
    return path


def test_ssh_config_gives_name_port_user_keys_and_known_hosts(fleet, there, tmp_path):
    config = config_of(
        tmp_path,
        f"Host front\n HostName {HOST}\n Port 22\n User root\n IdentityFile {fleet.private_key}\n"
        f" UserKnownHostsFile {fleet.known_hosts}\n",
    )
    site = site_of(edge_a=connection("front", ssh_config=config))
    assert there(api.facts_site, site, options=options())["edge-a"].status is Status.OK
    site = site_of(edge_a=connection("front"))
    assert there(api.facts_site, site, options=options(ssh_config=config))["edge-a"].status is Status.OK


RELAY = """
import os, socket, sys, threading
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def up():
    for data in iter(lambda: os.read(0, 65536), b""):
        sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
for data in iter(lambda: sock.recv(65536), b""):
    os.write(1, data)
"""


def test_jump_host_and_proxy_command(fleet, there, tmp_path):
    common = f"IdentityFile {fleet.private_key}\n UserKnownHostsFile {fleet.known_hosts}\n User root\n"
    relay = tmp_path / "relay.py"
    relay.write_text(RELAY)
    config = config_of(
        tmp_path,
        f"Host inner\n HostName 10.231.0.3\n ProxyJump root@{HOST}:22\n"
        f"Host piped\n HostName 10.231.0.3\n ProxyCommand python3 {relay} %h %p\n"
        f"Host nowhere\n HostName 10.231.0.3\n Port 9\n ProxyJump {HOST}\n"
        f"Host broken\n HostName 10.231.0.3\n ProxyCommand false\n"
        f"Host *\n {common}",
    )
    for name in ("inner", "piped"):
        result = there(
            api.facts_site, site_of(edge_a=connection(name, ssh_config=config)), options=options()
        )["edge-a"]
        assert result.status is Status.OK, result.error
        assert result.report["hostname"] == "edge-b"
    for name, words in (("nowhere", "jump host does not get through"), ("broken", "no SSH handshake")):
        site = site_of(edge_a=connection(name, ssh_config=config))
        refused(there(api.facts_site, site, options=options(connect_timeout=2))["edge-a"], words)


def test_ssh_config_that_is_not_there(there, tmp_path):
    site = site_of(edge_a=connection(HOST, ssh_config=tmp_path / "none"))
    result = there(api.facts_site, site, options=options())["edge-a"]
    assert isinstance(result.error, UsageError)
    assert str(tmp_path / "none") in str(result.error)


def test_one_dead_host_does_not_hold_up_the_other(fleet, there):
    common = {"user": "root", "private_key": fleet.private_key, "known_hosts": fleet.known_hosts}
    site = site_of(edge_a=connection(HOST, port=9, **common), edge_b=connection("10.231.0.3", **common))
    desired = {name: desired_of(node=name) for name in site.selected}
    results = there(api.plan_site, site, desired, options=options())
    assert [result.status for result in results.values()] == [Status.UNREACHABLE, Status.OK]
    assert exit_code(results) == 4


def test_keys_and_known_hosts_are_read_once_for_all_hosts(fleet, there, monkeypatch):
    read = []
    original = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path) or original(path))
    common = {"user": "root", "private_key": fleet.private_key, "known_hosts": fleet.known_hosts}
    site = site_of(edge_a=connection(HOST, **common), edge_b=connection("10.231.0.3", **common))
    results = there(api.facts_site, site, options=options())
    assert {result.status for result in results.values()} == {Status.OK}
    assert read.count(fleet.private_key) == 1


def test_post_quantum_exchange_is_a_choice(reach, fleet):
    assert reach(post_quantum=True).status is Status.OK
