"""Requests that make no sense get an answer that says so; the agent never dies of one."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

import pytest
from agent_client import Agent, Target, Wanted


def ask_raw(data: bytes) -> dict[str, Any]:
    with Agent(cache=False) as agent:
        agent.write(data)
        return agent.receive()


def frame(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (struct.pack(">I", 65 << 20), "too long"),
        (frame(b"not zlib"), "cannot be read"),
        (frame(zlib.compress(b"not json")), "cannot be read"),
        (frame(zlib.compress(b"[1]")), "object with an op"),
        (frame(zlib.compress(json.dumps({"op": 5}).encode())), "object with an op"),
        (frame(zlib.compress(b" " * (513 << 20))), "unpacks to more"),
        (frame(zlib.compress(b'{"op":"fly"}')), "does not know the request 'fly'"),
    ],
    ids=["long", "zlib", "json", "list", "op", "bomb", "unknown"],
)
def test_frames_that_are_none(data: bytes, said: str) -> None:
    answer = ask_raw(data)
    assert answer["op"] == "error"
    assert answer["kind"] == "unsupported"
    assert said in answer["error"]


BAD: dict[str, Any] = {
    "relative path": {"files": [{"path": "etc/a"}]},
    "climbing path": {"files": [{"path": "/etc/../root/a"}]},
    "folder path": {"files": [{"path": "/etc/"}]},
    "digest": {"files": [{"digest": "zz"}]},
    "mode": {"files": [{"mode": 0o77777}]},
    "owner": {"files": [{"owner": "ro ot"}]},
    "set prefix": {"sets": [{"name": "other"}]},
    "set length": {"sets": [{"name": "vos-" + "x" * 26}]},
    "set type": {"sets": [{"type": "hash:net\nflush"}]},
    "family": {"rulesets": [{"family": 5}]},
    "hook": {"rulesets": [{"hooks": [["filter", "INPUT", "DROP"]]}]},
    "key": {"sysctls": [{"key": "net.ipv4/../../x"}]},
    "value": {"sysctls": [{"value": "1\n2"}]},
    "service": {"services": [{"name": "a;b"}]},
    "state": {"services": [{"state": "sleeping"}]},
    "command": {"services": [{"supervise": ["relay"], "pidfile": "/run/a"}]},
    "pidfile": {"services": [{"supervise": ["/bin/relay"], "pidfile": "a"}]},
    "package": {"packages": ["-o=x"]},
    "release": {"release": {"version": "../1", "digest": "0" * 64}},
    "missing": {"files": None},
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_wanted_states_with_names_that_cannot_be_right(folder: Target, change: dict[str, Any]) -> None:
    good = (
        Wanted()
        .file("/etc/a", b"")
        .set("vos-a", [])
        .rules("", ("filter", "INPUT", "VOS-A"))
        .sysctl("net.a", "1")
        .service("a")
    )
    wanted = good.frame()
    for part, value in change.items():
        wanted[part] = (
            [{**wanted[part][0], **value[0]}]
            if isinstance(value, list) and isinstance(value[0], dict)
            else value
        )
    answer = folder.ask("inspect", wanted=wanted)
    assert answer["op"] == "error", answer
    assert "wanted state" in answer["error"]


@pytest.mark.parametrize("root", ["relative", "/a/../b", "/", 5])
def test_roots_that_are_no_directory(root: Any) -> None:
    with Agent(cache=False) as agent:
        answer = agent.ask({"op": "status", "root": root})
    assert answer["op"] == "error"
    assert "no absolute path" in answer["error"]


@pytest.mark.parametrize(
    ("field", "value"), [("id", "../x"), ("id", None), ("window", 0), ("window", "60"), ("window", 1e9)]
)
def test_applies_with_bad_fields(folder: Target, field: str, value: Any) -> None:
    wanted = Wanted().file("/etc/a", b"1")
    request = folder.apply_frame(wanted, folder.inspect(wanted))
    with folder.agent() as agent:
        answer = agent.ask({**request, field: value})
    assert answer["op"] == "error"
    assert not folder.path("/etc/a").exists()


def test_facts_and_status_of_a_fresh_node(folder: Target) -> None:
    facts = folder.ask("facts")["facts"]
    assert facts["can"]["firewall"] == [False, "node is a directory"]
    assert {"hostname", "kernel", "os", "python", "arch", "systemd", "container", "iptables"} <= facts.keys()
    status = folder.ask("status")
    assert (status["applied"], status["pending"], status["lock"], status["relay"], status["journal"]) == (
        {},
        None,
        None,
        None,
        [],
    )


def test_one_connection_answers_many_requests(folder: Target) -> None:
    with folder.agent() as agent:
        for _ in range(3):
            assert agent.ask(folder.frame("status"))["op"] == "status"
        agent.send(folder.frame("bye"))
        assert agent.process.wait(20) == 0
