"""Fixtures with real relays; ``relay_calls`` in this folder has the classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from relay_calls import Call, Node, Phone

KEYS = {"xor": "Key1", "rc4": "abcdefghijklmnop", "aes128": "0123456789abcdef"}


@pytest.fixture
def phones() -> Iterator[Callable[..., Phone]]:
    made: list[Phone] = []

    def make(*args, **options) -> Phone:
        made.append(Phone(*args, **options))
        return made[-1]

    yield make
    for phone in made:
        phone.close()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Callable[[str], Node]]:
    made: list[Node] = []

    def make(name: str) -> Node:
        made.append(Node(tmp_path / name, name))
        return made[-1]

    yield make
    for node in made:
        node.stop()


@pytest.fixture
def joined(nodes, phones) -> Iterator[Callable[[str], Call]]:
    """Two running relays with a trunk of the given mode between them, and a phone at each end."""
    calls: list[Call] = []

    def make(mode: str) -> Call:
        a, b = nodes("edge-a"), nodes("edge-b")
        caller, callee = phones(), phones()
        a.gateway("acme", caller.address)
        b.gateway("vendor", callee.address)
        for here, there in ((a, b), (b, a)):
            here.trunk("ab", there, mode, "" if mode == "none" else "k1")
            here.keys = {"k1": KEYS[mode]} if mode in KEYS else {}
            here.start()
        calls.append(Call(a, b, caller, callee))
        return calls[-1]

    yield make
    for call in calls:
        call.close()
