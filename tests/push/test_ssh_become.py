"""sudo that wants a password, over real SSH: the right one, a wrong one, none, a lecture, requiretty."""

from __future__ import annotations

import pytest
from push_samples import connection, options, site_of

from vosctl.errors import HostError, UnreachableError
from vosctl.push import api
from vosctl.push.result import Status
from vosctl.secret import Secret

pytestmark = [pytest.mark.netns, pytest.mark.requires("sudo", "openssl")]
HOST = "10.231.0.2"
WORD = "pa'ss wörd $HOME"
LOGIN = "asker"


@pytest.fixture(scope="module", autouse=True)
def login(fleet):
    """A user on edge-a with a password and the right to sudo; sudo's word for the rules is replaced a test."""
    hashed = fleet.exec("edge-a", ["openssl", "passwd", "-6", "-stdin"], input=WORD + "\n").stdout.strip()
    fleet.exec("edge-a", ["useradd", "-m", "-s", "/bin/sh", "-p", hashed, LOGIN])


@pytest.fixture
def ask(fleet, there, transport):
    """Return a function that asks for facts with sudo under given rules."""

    def run(word: str | None, *rules: str, **chosen):
        lines = [f"Defaults:{LOGIN} !requiretty", f"{LOGIN} ALL=(root) ALL", *rules]
        fleet.exec("edge-a", ["tee", "/etc/sudoers.d/asker"], input="\n".join(lines) + "\n")
        fleet.exec("edge-a", ["rm", "-rf", "/run/sudo", "/var/lib/sudo", "/var/log/sudo-io"])
        site = site_of(
            edge_a=connection(
                HOST, user=LOGIN, become=True, private_key=fleet.private_key, known_hosts=fleet.known_hosts
            )
        )
        secret = Secret(word) if word is not None else None
        chosen = options(become_password=secret, transport=transport, **chosen)
        return there(api.facts_site, site, options=chosen)["edge-a"]

    return run


def test_right_password(ask):
    result = ask(WORD)
    assert result.status is Status.OK, result.error
    assert result.report["hostname"] == "edge-a"


def test_wrong_password_names_node_and_user_and_shows_nothing(ask):
    result = ask("wrong one")
    assert isinstance(result.error, HostError)
    assert not isinstance(result.error, UnreachableError)
    assert str(result.error).startswith(f"edge-a: sudo did not take the password of {LOGIN}")
    assert "wrong one" not in repr(result)


def test_wrong_password_where_sudo_asks_once(ask):
    result = ask("wrong one", f"Defaults:{LOGIN} passwd_tries=1")
    assert str(result.error).startswith(f"edge-a: sudo did not take the password of {LOGIN}")


def test_no_password_where_one_is_wanted(ask):
    result = ask(None)
    assert "a password is required" in str(result.error)
    assert "--ask-become-pass" in result.error.hint


def test_password_that_nobody_asks_for_is_not_sent(ask):
    result = ask(WORD, f"{LOGIN} ALL=(root) NOPASSWD: ALL")
    assert result.status is Status.OK, result.error


def test_lecture_is_no_answer(ask, fleet):
    fleet.exec("edge-a", ["tee", "/etc/lecture"], input="Respect the privacy of others.\nPassword:\n" * 50)
    result = ask(WORD, f"Defaults:{LOGIN} lecture=always", f"Defaults:{LOGIN} lecture_file=/etc/lecture")
    assert result.status is Status.OK, result.error


def test_tty_that_sudo_wants(ask):
    result = ask(WORD, f"Defaults:{LOGIN} requiretty")
    assert "you must have a tty" in str(result.error)
    assert f"Defaults:{LOGIN} !requiretty" in result.error.hint


def test_password_is_in_no_argument_environment_log_or_file(ask, fleet):
    trace = "Defaults log_input, log_output, logfile=/var/log/sudo.log"
    result = ask(WORD, trace)
    assert result.status is Status.OK, result.error
    found = fleet.exec(
        "edge-a",
        ["grep", "-rlF", WORD, "/var/log", "/var/lib/vosctl", "/run", "/etc/sudoers.d", "/tmp", "/home"],
        check=False,
    )
    assert found.stdout == ""
    log = fleet.exec("edge-a", ["cat", "/var/log/sudo.log"]).stdout
    assert "python3" in log
    assert WORD not in log


def test_rule_for_no_command(ask):
    result = ask(WORD, f"{LOGIN} ALL=(root) !ALL")
    assert "sudo refused" in str(result.error)
    assert WORD not in str(result.error)
