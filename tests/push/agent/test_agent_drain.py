"""An apply or a rollback that has to restart the relay waits for its calls; one that hands over does not."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from agent_client import Frame, Machine, Wanted, wait_until
from relay_node import ACCOUNT, Talk, pids, rebuilt, wanted

pytestmark = pytest.mark.netns


@cache
def with_other_media() -> bytes:
    """The release with another file in its media part: calls cannot go on in it."""
    note = b"\n# another release\n"
    return rebuilt(lambda name, data: data + note if name.endswith("media/ports.py") else data)


def other(drain: float = 20.0) -> Wanted:
    """What is wanted, of the release with other media."""
    found = wanted().releases(with_other_media())
    found.services[0]["drain"] = drain
    return found


@pytest.fixture
def node(nft: Machine) -> Iterator[Machine]:
    """A node without systemd that runs the relay."""
    nft.run("ip link set lo up")
    nft.settle(wanted())
    yield nft
    nft.run("/opt/vosctl/current/bin/vosctl-relay stop || true")
    nft.run(f"userdel {ACCOUNT}; groupdel {ACCOUNT}; rm -rf /var/lib/vosctl-relay; true")


def meanwhile(doing: Callable[[], Frame]) -> tuple[threading.Thread, list[Frame]]:
    answers: list[Frame] = []
    thread = threading.Thread(target=lambda: answers.append(doing()))
    thread.start()
    return thread, answers


def draining(node: Machine) -> Any:
    return node.ask("status")["relay"]["draining"]


def test_an_apply_that_cuts_calls_off_waits_for_their_end(node: Machine) -> None:
    before = pids(node)
    with Talk(node, 400):  # four seconds, and every packet must arrive
        thread, answers = meanwhile(lambda: node.apply(other()))
        assert wait_until(lambda: draining(node) == {"since": None})
        assert pids(node) == before
        assert answers == []
    thread.join(60)
    assert answers[0]["op"] == "applied", answers
    assert pids(node)["media"] != before["media"]
    assert pids(node)["supervisor"] == before["supervisor"]
    # It takes calls at once, not only when the hold is over.
    assert draining(node) is None
    node.ask("confirm", id=answers[0]["id"])
    with Talk(node, 50):
        pass


def test_a_release_with_the_same_media_waits_for_nobody(node: Machine) -> None:
    before = pids(node)
    with Talk(node, 300):
        same = wanted(other=True)
        same.services[0]["drain"] = 20
        began = time.monotonic()
        node.settle(same)
        assert time.monotonic() - began < 10
        assert node.ask("status")["relay"]["calls"] == 1
        assert pids(node)["media"] == before["media"]


def test_calls_that_do_not_end_in_time_keep_the_apply_from_changing_anything(node: Machine) -> None:
    before, release = pids(node), node.inspect(wanted())["release"]
    with Talk(node, 300):
        answer = node.apply(other(drain=1))
        assert (answer["op"], answer["step"]) == ("error", "drain")
        assert answer["error"] == "the relay has to be restarted, and 1 calls still run after 1 s of draining"
        assert "relay.drain" in answer["hint"]
        assert draining(node) is None
    assert (pids(node), node.inspect(wanted())["release"]) == (before, release)
    assert node.ask("status")["pending"] is None


def test_without_draining_calls_are_cut_off(node: Machine) -> None:
    node.settle(other(drain=0))
    assert node.inspect(other())["release"]["digest"] == other().release["digest"]


def test_a_rollback_waits_too_unless_it_is_told_not_to(node: Machine) -> None:
    node.settle(other())
    before = pids(node)["media"]
    with Talk(node, 300):
        thread, answers = meanwhile(lambda: node.ask("rollback", drain=True))
        assert wait_until(lambda: draining(node) == {"since": None})
    thread.join(60)
    assert answers[0]["op"] == "rolled-back", answers
    assert node.inspect(wanted())["release"]["digest"] == wanted().release["digest"]
    assert pids(node)["media"] != before
    assert draining(node) is None
    node.settle(other())
    assert node.ask("rollback")["op"] == "rolled-back"


def test_a_person_drains_and_an_apply_does_not_end_that(node: Machine) -> None:
    answer = node.ask("drain", on=True)
    assert (answer["was"], answer["calls"]) == (None, 0)
    since = answer["draining"]["since"]
    node.settle(other())
    assert draining(node) == {"since": since}
    assert node.ask("drain")["was"] == {"since": since}
    assert node.ask("drain", on=False)["draining"] is None


def test_an_agent_that_is_killed_while_it_waits_leaves_nothing_but_a_hold_that_passes(node: Machine) -> None:
    with Talk(node, 300), node.agent() as agent:
        wish = other()
        observed = agent.ask(node.frame("inspect", wanted=wish.frame()))["observed"]
        agent.send(node.apply_frame(wish, observed))
        assert wait_until(lambda: draining(node) == {"since": None})
        node.run(f"kill -9 {json.loads(node.path('/var/lib/vosctl/lock').read_text())['pid']}")
    assert node.ask("status")["pending"] is None
    assert wait_until(lambda: node.ask("status")["lock"] is None)
    node.settle(other(drain=5))


def test_a_relay_that_is_down_cannot_be_drained(node: Machine) -> None:
    node.run("/opt/vosctl/current/bin/vosctl-relay stop")
    answer = node.ask("drain", on=True)
    assert answer["op"] == "error"
    assert "does not answer" in answer["error"]
