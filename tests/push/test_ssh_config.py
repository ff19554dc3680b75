"""Where a connection leads: command line over inventory over ssh_config over defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
from push_samples import connection, options

from vosctl.errors import UsageError
from vosctl.push.ssh_config import SshConfig, known_name
from vosctl.push.transport import own_login

CONFIG = """
Host edge-*
    HostName 192.0.2.7
    Port 2022
    User deploy
    IdentityFile ~/.ssh/work
    IdentityFile /keys/other
    UserKnownHostsFile ~/a /b
Host alias
    HostKeyAlias the-edge
    IdentitiesOnly yes
    ProxyJump one,deploy@two:2222
Host two
    User never
    HostKeyAlias second
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(CONFIG)
    return tmp_path


def endpoint(home: Path, host: str, *, chosen=(), **fields):
    return SshConfig(options(home=home, agent=True, **dict(chosen))).endpoint(connection(host, **fields))


def test_defaults(home):
    found = endpoint(home, "192.0.2.1")
    assert (found.address, found.port, found.user) == ("192.0.2.1", 22, own_login()[0])
    assert found.keys == tuple(home / ".ssh" / name for name in ("id_ed25519", "id_ecdsa", "id_rsa"))
    assert found.known_hosts == (home / ".ssh" / "known_hosts",)
    assert (found.agent, found.required, found.jumps, found.proxy_command) == (True, False, (), None)


def test_ssh_config_fills_in(home):
    found = endpoint(home, "edge-a")
    assert (found.address, found.port, found.user) == ("192.0.2.7", 2022, "deploy")
    assert found.known_as == "[192.0.2.7]:2022"
    assert found.keys == (home / ".ssh/work", Path("/keys/other"))
    assert found.known_hosts == (home / "a", Path("/b"))


def test_inventory_wins_over_ssh_config(home):
    found = endpoint(
        home, "edge-a", port=2200, user="root", private_key=Path("/k"), known_hosts=Path("/known")
    )
    assert (found.port, found.user, found.keys, found.known_hosts) == (
        2200,
        "root",
        (Path("/k"),),
        (Path("/known"),),
    )
    assert (found.required, found.only, found.agent) == (True, True, True)


def test_command_line_wins_over_inventory(home, tmp_path):
    other = tmp_path / "config"
    other.write_text("Host *\n Port 7\n")
    chosen = {"user": "me", "private_key": Path("/mine"), "known_hosts": Path("/kh"), "ssh_config": other}
    found = endpoint(
        home, "edge-a", chosen=chosen, user="root", private_key=Path("/k"), known_hosts=Path("/x")
    )
    assert (found.user, found.keys, found.known_hosts, found.port) == (
        "me",
        (Path("/mine"),),
        (Path("/kh"),),
        7,
    )


def test_alias_and_jumps(home):
    found = endpoint(home, "alias")
    assert (found.known_as, found.only, found.jumps, found.proxy_command) == (
        "the-edge",
        True,
        ("one", "deploy@two:2222"),
        None,
    )


@pytest.mark.parametrize(
    ("spec", "address", "port", "user"),
    [
        ("one", "one", 22, None),
        ("deploy@two:2222", "two", 2222, "deploy"),
        ("[2001:db8::1]:2200", "2001:db8::1", 2200, None),
        ("2001:db8::1", "2001:db8::1", 22, None),
        ("edge-j", "192.0.2.7", 2022, "deploy"),
    ],
)
def test_jump_specs(home, spec, address, port, user):
    found = SshConfig(options(home=home)).jump(spec, connection("alias"))
    assert (found.address, found.port, found.user) == (address, port, user or own_login()[0])


def test_known_names():
    assert known_name("192.0.2.7", 22) == "192.0.2.7"
    assert known_name("192.0.2.7", 2022) == "[192.0.2.7]:2022"


def test_file_that_was_named_must_be_there(tmp_path):
    with pytest.raises(UsageError, match="none: No such file"):
        endpoint(tmp_path, "a", chosen={"ssh_config": tmp_path / "none"})


@pytest.mark.parametrize("text", ["Host a\n  Nonsense\n", 'Host "open\n'])
def test_file_that_cannot_be_read_is_named(tmp_path, text):
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(UsageError, match="config"):
        endpoint(tmp_path, "a", chosen={"ssh_config": path})
