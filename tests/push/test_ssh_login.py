"""Logging in over real SSH: encrypted keys, ssh-agent, certificates of users and hosts, passwords, sudo's password."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from push_samples import connection, options, site_of, sshd

from vosctl.errors import UnreachableError
from vosctl.push import api
from vosctl.push.result import Status
from vosctl.secret import Secret

pytestmark = [pytest.mark.netns, pytest.mark.requires("ssh-agent", "ssh-keygen", "sudo")]
HOST = "10.231.0.2"
PORT = 2244
WORDS = "correct horse battery"
USERS = ("asker", "free")


@pytest.fixture(scope="module")
def authority(fleet, tmp_path_factory) -> Path:
    """A folder with a user key, and authorities that an sshd on port 2244 of edge-a trusts and is vouched by."""
    folder = tmp_path_factory.mktemp("authority")
    for name in ("users", "hosts", "id", "stranger"):
        keygen("-q", "-t", "ed25519", "-N", "", "-f", folder / name)
    keygen("-q", "-t", "ed25519", "-N", WORDS, "-f", folder / "locked")
    etc = fleet.root("edge-a") / "etc/ssh/fleet"
    (folder / "host.pub").write_text(keygen("-y", "-f", etc / "host_key"))
    (etc / "users.pub").write_text((folder / "users.pub").read_text())
    text = (
        (etc / "sshd_config").read_text().replace("Port 22", f"Port {PORT}").replace("sshd.pid", "login.pid")
    )
    text = text.replace("PasswordAuthentication no", "PasswordAuthentication yes")
    text += "TrustedUserCAKeys /etc/ssh/fleet/users.pub\nHostCertificate /etc/ssh/fleet/host-cert.pub\n"
    (etc / "login_config").write_text(text + "MaxAuthTries 20\n")
    return folder


def keygen(*arguments: object) -> str:
    return subprocess.run(
        ["ssh-keygen", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    ).stdout


@pytest.fixture(scope="module")
def server(fleet, authority):
    """Return a function that starts the sshd anew with a host certificate made so."""
    started = []

    def start(*how: str, key: str = "hosts") -> None:
        keygen(
            "-q", "-s", authority / key, "-I", "edge-a", *(how or ("-h", "-n", HOST)), authority / "host.pub"
        )
        etc = fleet.root("edge-a") / "etc/ssh/fleet"
        (etc / "host-cert.pub").write_text((authority / "host-cert.pub").read_text())
        if started:
            stop = "kill $(cat /run/login.pid); while [ -e /run/login.pid ]; do sleep 0.02; done"
            fleet.exec("edge-a", ["sh", "-c", stop])
        sshd(fleet, "edge-a", "/etc/ssh/fleet/login_config", PORT)
        started.append(how)

    start()
    return start


@pytest.fixture(scope="module")
def known(fleet, authority, server) -> Path:
    path = authority / "known_hosts"
    path.write_text(f"[{HOST}]:{PORT} {(authority / 'host.pub').read_text()}")
    return path


@pytest.fixture
def reach(there, known, transport):
    def ask(**fields):
        made = {"port": PORT, "user": "root", "known_hosts": known}
        made |= {name: fields.pop(name) for name in tuple(fields) if name in CONNECTION}
        return there(
            api.facts_site,
            site_of(edge_a=connection(HOST, **made)),
            options=options(transport=transport, **fields),
        )["edge-a"]

    return ask


CONNECTION = ("private_key", "become", "user", "known_hosts", "port", "ssh_config")


def refused(result, *words: str) -> None:
    assert isinstance(result.error, UnreachableError), result
    for word in words:
        assert word in str(result.error)


@contextmanager
def agent_with(path: Path, *keys: Path, words: str = "", monkeypatch=None):
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        while not path.exists():
            assert agent.poll() is None
            time.sleep(0.01)
        env = {**os.environ, "SSH_AUTH_SOCK": str(path), "SSH_ASKPASS_REQUIRE": "force", "WORDS": words}
        script = path.with_name("ask")
        script.write_text('#!/bin/sh\necho "$WORDS"\n')
        script.chmod(0o700)
        env["SSH_ASKPASS"] = str(script)
        for key in keys:
            subprocess.run(["ssh-add", "-q", key], env=env, check=True, capture_output=True)
        yield path
    finally:
        agent.terminate()
        agent.wait()


def trusted(fleet, public: Path) -> None:
    """Let root log in with one key more."""
    path = fleet.root("edge-a") / "etc/ssh/fleet/authorized_keys"
    line = public.read_text()
    if line not in path.read_text():
        with path.open("a") as stream:
            stream.write(line)


def test_encrypted_key_is_opened_with_a_passphrase_asked_once(reach, fleet, authority):
    trusted(fleet, authority / "locked.pub")
    asked = []

    def ask(path: Path) -> Secret:
        asked.append(path)
        return Secret(WORDS)

    result = reach(private_key=authority / "locked", passphrase=ask)
    assert result.status is Status.OK, result.error
    assert asked == [authority / "locked"]


def test_wrong_or_no_passphrase(reach, authority):
    refused(reach(private_key=authority / "locked"), str(authority / "locked"), "is encrypted", "ssh-agent")
    wrong = reach(private_key=authority / "locked", passphrase=lambda _: Secret("not it"))
    refused(wrong, "passphrase given does not open it")
    assert "not it" not in repr(wrong)


def test_agent_opens_an_encrypted_key_that_was_named_and_offers_no_other(
    reach, fleet, authority, tmp_path, monkeypatch
):
    trusted(fleet, authority / "locked.pub")
    with agent_with(tmp_path / "agent", authority / "stranger", authority / "locked", words=WORDS) as path:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        assert reach(private_key=authority / "locked", agent=True).status is Status.OK
        result = reach(private_key=authority / "id", agent=True)
        refused(result, "login as root")
        assert "ssh-agent" not in str(result.error)


def test_identity_agent_of_ssh_config(reach, fleet, authority, tmp_path, monkeypatch):
    trusted(fleet, authority / "locked.pub")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with agent_with(tmp_path / "agent", authority / "locked", words=WORDS) as path:
        config = tmp_path / "config"
        config.write_text(f"IdentityAgent {path}\n")
        assert reach(ssh_config=config, agent=True).status is Status.OK
        config.write_text("IdentityAgent none\n")
        refused(reach(ssh_config=config, agent=True), "no key to try")


def certify(authority: Path, name: str, *how: str) -> Path:
    keygen("-q", "-s", authority / "users", "-I", "someone", *how, authority / f"{name}.pub")
    return authority / f"{name}-cert.pub"


def test_user_certificate_beside_the_key(reach, authority):
    path = certify(authority, "id", "-n", "root")
    try:
        assert reach(private_key=authority / "id").status is Status.OK
        certify(authority, "id", "-n", "somebody")
        refused(reach(private_key=authority / "id"), "login as root", "refused")
    finally:
        path.unlink()
    refused(reach(private_key=authority / "id"), "login as root", "refused")


def test_certificate_file_of_ssh_config_with_a_key_in_the_agent(reach, authority, tmp_path, monkeypatch):
    path = certify(authority, "id", "-n", "root").rename(tmp_path / "mine.pub")
    config = tmp_path / "config"
    config.write_text(f"CertificateFile {path}\nIdentityFile {authority}/id\n")
    assert reach(ssh_config=config).status is Status.OK
    with agent_with(tmp_path / "agent", authority / "id") as agent:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
        config.write_text(f"CertificateFile {path}\nIdentityFile {authority}/id.pub\nIdentitiesOnly yes\n")
        assert reach(ssh_config=config, agent=True).status is Status.OK


def test_certificate_in_the_agent(reach, authority, tmp_path, monkeypatch):
    path = certify(authority, "id", "-n", "root")
    try:
        with agent_with(tmp_path / "agent", authority / "id") as agent:
            path.unlink()
            monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
            assert reach(agent=True).status is Status.OK
    finally:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("how", "signer", "words"),
    [
        (("-h", "-n", HOST), "hosts", ""),
        (("-h", "-n", "*.example.net,10.231.0.?"), "hosts", ""),
        (("-h", "-n", "10.231.0.9"), "hosts", f"it stands for 10.231.0.9, not for {HOST}"),
        (("-h", "-n", HOST, "-V", "20200101:20210101"), "hosts", "it was valid until 2021-01-01"),
        (("-h", "-n", HOST, "-V", "20400101:20410101"), "hosts", "it is not valid before 2040-01-01"),
        (("-h", "-n", HOST), "users", "signed by an authority that known_hosts does not name"),
    ],
)
def test_host_certificates(reach, fleet, server, authority, tmp_path, transport, how, signer, words):
    if transport == "asyncssh":  # which checks certificates itself, in words of its own and without patterns
        words = ASYNCSSH.get(words, words) if "*" not in how[2] else "principal mismatch"
    server(*how, key=signer)
    known = tmp_path / "known_hosts"
    known.write_text(f"@cert-authority [10.231.0.*]:{PORT},x {(authority / 'hosts.pub').read_text()}")
    result = reach(private_key=fleet.private_key, known_hosts=known)
    if not words:
        assert result.status is Status.OK, result.error
    else:
        refused(result, "is not known", "certificate is not accepted", words)


ASYNCSSH = {
    f"it stands for 10.231.0.9, not for {HOST}": "principal mismatch",
    "it was valid until 2021-01-01": "expired",
    "it is not valid before 2040-01-01": "not yet valid",
}


def test_revoked_authority(reach, fleet, server, authority, tmp_path):
    server()
    known = tmp_path / "known_hosts"
    line = (authority / "hosts.pub").read_text()
    known.write_text(f"@cert-authority * {line}@revoked * {line}")
    refused(reach(private_key=fleet.private_key, known_hosts=known), "@revoked", f"{known}:2")


def test_changed_key_names_file_and_line(reach, fleet, authority, tmp_path):
    known = tmp_path / "known_hosts"
    known.write_text(f"# a comment\n\n[{HOST}]:{PORT} {(authority / 'stranger.pub').read_text()}")
    refused(reach(private_key=fleet.private_key, known_hosts=known), "has changed", f"{known}:3")


@pytest.mark.parametrize("hashed", [False, True])
def test_accept_new_writes_the_first_key_and_never_another(reach, fleet, authority, tmp_path, hashed):
    known = tmp_path / "new" / "known_hosts"
    config = tmp_path / "config"
    config.write_text(f"StrictHostKeyChecking accept-new\nHashKnownHosts {'yes' if hashed else 'no'}\n")
    chosen = {"private_key": fleet.private_key, "known_hosts": known, "ssh_config": config}
    assert reach(**chosen).status is Status.OK
    written = known.read_text()
    assert (HOST in written) is not hashed
    assert written.count("\n") == 1
    config.write_text("StrictHostKeyChecking yes\n")
    assert reach(**chosen).status is Status.OK
    found = subprocess.run(
        ["ssh-keygen", "-F", f"[{HOST}]:{PORT}", "-f", known], capture_output=True, text=True, check=True
    )
    assert "found" in found.stdout
    config.write_text("StrictHostKeyChecking accept-new\n")
    known.write_text(f"[{HOST}]:{PORT} {(authority / 'stranger.pub').read_text()}")
    refused(reach(**chosen), "has changed")


def test_no_strict_checking_is_not_followed(reach, fleet, tmp_path):
    config = tmp_path / "config"
    config.write_text("\nStrictHostKeyChecking no\n")
    result = reach(private_key=fleet.private_key, known_hosts=tmp_path / "none", ssh_config=config)
    refused(result, "is not known", f"{config}:2 would take any key")
    assert not (tmp_path / "none").exists()
