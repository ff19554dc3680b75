"""Users of a whole machine: made, changed, removed, seen, and put back to the last letter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from agent_client import Machine, Target, Wanted, wait_until

NAME = "voxtest"
HOME = f"/home/{NAME}"
KEYS = f"{HOME}/.ssh/authorized_keys"
FILES = ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")


class Users(Wanted):
    """A wanted state with one user."""

    def __init__(self, *, present: bool = True, **fields: Any) -> None:
        super().__init__()
        base = {"name": NAME, "uid": None, "groups": None, "shell": None, "home": HOME, "keys": False}
        self.user = {**base, "present": present, **fields}

    def frame(self) -> dict[str, Any]:
        return {**super().frame(), "users": [self.user]}


@pytest.fixture
def node(nft: Machine) -> Iterator[Machine]:
    before = lines(nft)
    yield nft
    nft.run(f"userdel {NAME}; groupdel {NAME}; rm -rf {HOME} /home/vox2; true", check=False)
    assert [line.split(":")[0] for line in lines(nft)] == [line.split(":")[0] for line in before]


def lines(node: Machine) -> list[str]:
    return [line for name in FILES for line in node.run(f"cat /etc/{name} || true").splitlines()]


def test_a_user_is_made_seen_and_left_alone(node: Machine) -> None:
    wanted = Users(uid=4711, groups=["adm", "tty"], shell="/bin/sh", keys=True)
    wanted.file(KEYS, b"ssh-ed25519 AAAA me\n", mode=0o600, owner=NAME)
    assert node.settle(wanted)["changed"] == [f"user {NAME} create", f"file {KEYS}"]
    assert node.run(f"id -u {NAME}; id -Gn {NAME}").split() == ["4711", NAME, "adm", "tty"]
    assert node.run(f"stat -c '%U %a' {KEYS} {HOME}/.ssh").splitlines() == [f"{NAME} 600", f"{NAME} 700"]
    assert node.run(f"getent shadow {NAME}").split(":")[1] == "*"
    assert node.settle(wanted)["changed"] == []
    node.run(f"usermod -s /bin/false -G tty {NAME}")
    seen = node.inspect(wanted)["users"][NAME]
    assert (seen["shell"], seen["groups"]) == ("/bin/false", ["tty"])
    assert node.settle(wanted)["changed"] == [f"user {NAME} change"]
    assert node.run(f"id -Gn {NAME}").split() == [NAME, "adm", "tty"]


def test_groups_that_the_site_does_not_name_stay(node: Machine) -> None:
    node.run(f"useradd -m -G tty {NAME}")
    assert node.settle(Users(shell="/bin/bash"))["changed"] == [f"user {NAME} change"]
    assert node.run(f"id -Gn {NAME}").split() == [NAME, "tty"]


@pytest.mark.parametrize("what", ["create", "change", "remove"])
def test_an_apply_that_is_not_confirmed_leaves_no_letter(node: Machine, what: str) -> None:
    if what != "create":
        node.run(f"useradd -m -G tty,adm {NAME}; echo {NAME}:hunter2 | chpasswd -c SHA256")
    before, home = lines(node), node.run(f"ls -la {HOME} | grep -v '[.][.]' || true")
    wanted = {
        "create": Users(uid=4712, groups=["adm"], keys=True).file(KEYS, b"key\n", mode=0o600, owner=NAME),
        "change": Users(uid=4713, groups=["audio"], shell="/bin/false", home="/home/vox2"),
        "remove": Users(present=False),
    }[what]
    applied = node.apply(wanted, window=0.5)
    assert applied["op"] == "applied", applied
    assert f"user {NAME} {what}" in applied["changed"]
    assert lines(node) != before
    assert wait_until(lambda: not node.path("/var/lib/vosctl/pending.json").exists())
    assert sorted(lines(node)) == sorted(before)
    assert node.run(f"ls -la {HOME} | grep -v '[.][.]' || true") == home


def test_a_rollback_keeps_a_home_that_was_used(node: Machine) -> None:
    node.settle(Users())
    node.run(f"echo mine > {HOME}/work")
    assert node.ask("rollback", id=None)["op"] == "rolled-back"
    assert node.run(f"getent passwd {NAME} || true") == ""
    assert node.run(f"cat {HOME}/work") == "mine\n"


def test_a_file_that_fails_takes_the_user_back(node: Machine) -> None:
    before = lines(node)
    wanted = Users().service("no-such-service")
    assert node.apply(wanted)["rolled_back"]
    assert lines(node) == before


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"groups": ["nogroupofthis"]}, "there is no group"), ({"uid": 1}, "uid 1 is daemon's")],
)
def test_what_cannot_be_is_said_before_anything_changes(
    node: Machine, fields: dict[str, Any], said: str
) -> None:
    before = lines(node)
    answer = node.apply(Users(**fields).file("/etc/voice/x", b"x"))
    assert answer["op"] == "error"
    assert said in answer["error"]
    assert lines(node) == before
    assert not node.path("/etc/voice/x").exists()


def test_a_directory_has_no_users(folder: Target) -> None:
    wanted = Users(keys=True).file(KEYS, b"key\n", owner=NAME)
    assert folder.settle(wanted)["changed"] == [f"file {KEYS}"]


def test_a_link_of_somebody_else_is_not_followed(node: Machine) -> None:
    node.settle(Users())
    node.run(f"mkdir -p /etc/voice; ln -s /etc/voice {HOME}/.ssh; chown -h {NAME} {HOME}/.ssh")
    answer = node.apply(Users(keys=True).file(KEYS, b"key\n", owner=NAME))
    assert answer["op"] == "error"
    assert "is a link that belongs to" in answer["error"]
    assert node.run("ls /etc/voice") == ""
