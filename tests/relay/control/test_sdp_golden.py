"""Whole dialogues against a real relay, each step's SDP compared with the file of its case.

A case in ``sdp/*.txt`` is a list of steps ``== <command> <key>=<value>…`` with the SDP that is sent; after each
stands ``-- sdp`` or ``-- error`` with what the relay answered, its address, ports and salts replaced by names.
``VOSCTL_REWRITE_GOLDEN=1`` writes these anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from relay_calls import Node

CASES = sorted((Path(__file__).parent / "sdp").glob("*.txt"))
LISTS = {"flags", "replace", "rtcp-mux"}


class Step(NamedTuple):
    head: str
    sent: str
    answer: str


def read(path: Path) -> tuple[str, list[Step]]:
    comment, *steps = re.split(r"^== ", path.read_text(), flags=re.MULTILINE)
    parsed = []
    for step in steps:
        head, _, body = step.partition("\n")
        sent, answer = (*re.split(r"^(?=-- )", body, maxsplit=1, flags=re.MULTILINE), "")[:2]
        parsed.append(Step(head, sent, answer))
    return comment, parsed


class Names:
    """Names for what differs from run to run: a port pair gets a number when it first appears."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.ports: dict[int, str] = {}

    def port(self, text: str) -> str:
        number = int(text)
        if number == 0:
            return "0"
        even = number & ~1
        name = self.ports.setdefault(even, f"PORT{len(self.ports) + 1}")
        return name if number == even else f"{name}+1"

    def normal(self, sdp: str) -> str:
        assert sdp.endswith("\r\n")
        text = (
            sdp.replace("\r\n", "\n").replace(self.node.address, "RELAY").replace("IP6 ::1\n", "IP6 RELAY6\n")
        )
        text = re.sub(r"(?m)^(m=\w+ )(\d+)", lambda found: found[1] + self.port(found[2]), text)
        text = re.sub(r"(?m)^(a=rtcp:)(\d+)", lambda found: found[1] + self.port(found[2]), text)
        text = re.sub(
            r"inline:(?!d0Rmdm)[A-Za-z0-9+/=]+", "inline:KEY", text
        )  # the example of RFC 4568 is a party's
        return re.sub(r"salt=[0-9a-f]{8}", "salt=SALT", text)


def run(node: Node, call_id: str, steps: list[Step]) -> list[Step]:
    names, done = Names(node), []
    with node.client() as client:
        for step in steps:
            command, *words = step.head.split()
            keys = {"call-id": call_id, "from-tag": "a", "sdp": step.sent.replace("\n", "\r\n")}
            for word in words:
                key, _, value = word.partition("=")
                keys[key] = (
                    ["IP4", value] if key == "received-from" else value.split(",") if key in LISTS else value
                )
            reply = client.request(command, **keys)
            if reply["result"] == "ok":
                answer = "-- sdp\n" + names.normal(reply["sdp"])
            else:
                answer = f"-- {reply['result']}\n{reply['error-reason']}\n"
            done.append(step._replace(answer=answer))
        client.delete(call_id, "")
    return done


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    node = Node(tmp_path_factory.mktemp("golden") / "edge", "edge")
    node.config["addresses"].append("::1")
    node.gateway("acme", "198.51.100.7")
    node.trunk("ab", "203.0.113.50", "aes128", "k1", ("k1", "k2"))
    node.keys = {"k1": "0123456789abcdef", "k2": "abcdef0123456789"}
    node.start()
    yield node
    node.stop()


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_golden(node, path):
    comment, steps = read(path)
    done = run(node, path.stem, steps)
    if os.environ.get("VOSCTL_REWRITE_GOLDEN"):
        path.write_text(comment + "".join(f"== {step.head}\n{step.sent}{step.answer}" for step in done))
    assert [step.answer for step in done] == [step.answer for step in steps]
    assert node.ask("status")["calls"] == 0
