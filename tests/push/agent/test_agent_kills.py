"""Broken at any system call, in every part of an apply's life: never half, never locked out, no snapshot lost."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import pairwise

import pytest
from agent_client import wait_until
from whole_node import AGENT, WholeNode

from vosctl.fleet import Fleet, HostSpec

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(900)]

# For a replay: the seed that a run printed, and of one test the point that it named, on the host that it named.
SEED = int(os.environ.get("VOSCTL_FAULT_SEED", time.time_ns() % 100_000))
ONLY = os.environ.get("VOSCTL_FAULT_POINT", "")
TIMES = float(os.environ.get("VOSCTL_FAULT_TIMES", "1"))
HOSTS = {"nft-1": "nft", "legacy-1": "legacy", "nft-2": "nft", "legacy-2": "legacy"}
EVERY_LOGIN = 8


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[WholeNode]]:
    specs = [
        HostSpec(name, f"10.231.0.{i}", iptables=kind) for i, (name, kind) in enumerate(HOSTS.items(), 2)
    ]
    with Fleet.up(specs, tmp_path_factory.mktemp("whole")) as fleet, ExitStack() as stack:
        found = [WholeNode(fleet, name) for name in HOSTS]
        with ThreadPoolExecutor(len(found)) as pool:
            list(pool.map(WholeNode.prepare, found))
        for node in found:
            stack.enter_context(node.knocking())
        yield found


Scenario = Callable[[WholeNode, int], None]


class Campaign:
    """Breaks one thing at many points, spread over all its calls and over the hosts."""

    def __init__(self, nodes: list[WholeNode], record: Callable[[str, object], None]) -> None:
        self.nodes, self.record = nodes, record

    def run(self, name: str, count: int, scenario: Scenario) -> None:
        count = max(len(self.nodes), round(count * TIMES))
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            shares = [
                count // len(self.nodes) + (i < count % len(self.nodes)) for i in range(len(self.nodes))
            ]
            done = [
                pool.submit(self._on, node, name, share, scenario)
                for node, share in zip(self.nodes, shares, strict=True)
            ]
            broken = [each.result() for each in done]
        self.record("points", (name, sum(broken), SEED))

    def _on(self, node: WholeNode, name: str, count: int, scenario: Scenario) -> int:
        if not node.sound:
            node.prepare()
        node.sound = False
        scenario(node, 0)
        total = len(node.calls())
        node.check_converges()
        assert total > 10, (name, node.calls())
        chooser = random.Random(f"{SEED} {name} {node.name}")
        chosen = points(count, total, chooser) if not ONLY else [int(ONLY)]
        for number, point in enumerate(chosen):
            try:
                scenario(node, point)
                node.check_ssh(login=number % EVERY_LOGIN == 0)
                node.check_converges()
            except BaseException as error:
                calls = node.calls()
                where = f"VOSCTL_FAULT_SEED={SEED} VOSCTL_FAULT_POINT={point}, {name} on {node.name}, before {calls[point - 1 :][:1]}"
                raise AssertionError(f"{where}: {error!r}") from error
        node.sound = True
        return len(chosen)


def points(count: int, total: int, chooser: random.Random) -> list[int]:
    """Return points to break at, one in each of ``count`` equal stretches of 1…total, in any order."""
    edges = [1 + total * i // count for i in range(count + 1)]
    found = [chooser.randrange(low, max(low + 1, high)) for low, high in pairwise(edges)]
    chooser.shuffle(found)
    return found


@pytest.fixture
def campaign(nodes: list[WholeNode], record_property: Callable[[str, object], None]) -> Campaign:
    print(f"seed {SEED}")
    return Campaign(nodes, record_property)


def held(node: WholeNode) -> bool:
    return node.calls()[-1:] == ["held"]


def test_an_apply_that_is_killed_is_taken_back_by_its_guard(campaign: Campaign) -> None:
    def scenario(node: WholeNode, point: int) -> None:
        node.broken_apply(point)
        assert node.settled()
        node.check(node.at)

    campaign.run("apply, guard alive", 40, scenario)


def test_an_apply_that_is_killed_with_its_guard_is_taken_back_by_the_next_run(campaign: Campaign) -> None:
    def scenario(node: WholeNode, point: int) -> None:
        node.broken_apply(point)
        node.kill_guard()
        node.check_ssh()
        found = node.inspect(node.to)
        # One that was done before it was killed still waits; a command that outlived it may hold the lock.
        assert found["pending"] is None or found["recovered"] == ""
        assert node.settled()
        node.check(node.at)

    campaign.run("apply, guard killed", 40, scenario)


@pytest.mark.parametrize("how", ["boot", "next run"])
def test_a_node_without_power_in_an_apply_comes_back_whole(campaign: Campaign, how: str) -> None:
    def scenario(node: WholeNode, point: int) -> None:
        if point == 0:
            node.broken_apply(0)
            assert node.settled()
            return
        agent = node.broken_agent(point, "hold")
        observed = agent.ask(node.frame("inspect", wanted=node.to.frame()))["observed"]
        agent.send(node.apply_frame(node.to, observed))
        assert wait_until(lambda: held(node) or node.pending_state() == "applied")
        node.cut_power()
        agent.close()
        if how == "boot" and node.booted_agent():
            node.run(f"python3 -I -S {AGENT} boot")
        else:
            node.ask("status")
        assert node.pending() is None
        node.check_after_reboot(node.at, booted=how == "boot")

    campaign.run(f"power, {how}", 16, scenario)


def test_a_confirmation_that_is_killed_counts_or_does_not(campaign: Campaign) -> None:
    def scenario(node: WholeNode, point: int) -> None:
        applied = node.apply(node.to, window=2)
        node.broken_ask(point, lambda _: node.frame("confirm", id=applied["id"]))
        if point % 2:
            node.kill_guard()
        assert node.settled()
        confirmed = node.document("applied")["id"] == applied["id"]
        node.check(node.to if confirmed else node.at)
        if confirmed:
            node.chain = [applied["id"], *node.chain][:5]
        assert node.told(applied["id"]) == ("confirmed" if confirmed else "rolled back")

    campaign.run("confirm", 16, scenario)


def test_a_rollback_that_is_killed_is_done_or_not(campaign: Campaign) -> None:
    def scenario(node: WholeNode, point: int) -> None:
        applied = node.keep(node.to)
        node.broken_ask(point, lambda _: node.frame("rollback"))
        if point % 2:
            node.kill_guard()
        assert node.settled()
        stayed = node.document("applied")["id"] == applied
        node.check(node.to if stayed else node.at)
        if not stayed:
            node.chain.remove(applied)

    campaign.run("rollback", 28, scenario)


def test_a_guard_that_is_killed_is_replaced_by_the_next_run(campaign: Campaign) -> None:
    def scenario(node: WholeNode, point: int) -> None:
        applied = node.apply(node.to, window=0.3)
        node.kill_guard()
        time.sleep(0.3)
        node.broken_program(point, "guard", applied["id"])
        node.ask("status")
        assert node.pending() is None
        node.check(node.at)

    campaign.run("guard", 24, scenario)


def test_a_next_run_that_is_killed_is_followed_by_another(campaign: Campaign) -> None:
    def scenario(node: WholeNode, point: int) -> None:
        node.apply(node.to, window=0.3)
        node.kill_guard()
        time.sleep(0.3)
        node.broken_ask(point, lambda _: node.frame("status"))
        node.ask("status")
        assert node.pending() is None
        node.check(node.at)

    campaign.run("next run", 16, scenario)


def test_a_boot_that_is_killed_is_made_up_for(campaign: Campaign) -> None:
    def scenario(node: WholeNode, point: int) -> None:
        node.apply(node.to)
        node.cut_power()
        node.broken_program(point, "boot")
        if point % 2:
            node.run(f"python3 -I -S {AGENT} boot")
        node.ask("status")
        assert node.pending() is None
        node.check_after_reboot(node.at, booted=bool(point % 2))

    campaign.run("boot", 20, scenario)


def test_a_connection_that_drops_anywhere_leaves_an_apply_to_confirm(campaign: Campaign) -> None:
    def scenario(node: WholeNode, point: int) -> None:
        agent = node.broken_agent(point, "hold")
        observed = agent.ask(node.frame("inspect", wanted=node.to.frame()))["observed"]
        request = node.apply_frame(node.to, observed)
        agent.send(request)
        # The last calls come only when the connection is gone: such a point is met by an agent that waits for the confirm.
        assert point == 0 or wait_until(lambda: held(node) or node.pending_state() == "applied", 60)
        for stream in (agent.process.stdin, agent.process.stdout):
            stream.close()
        node.go_on()
        assert wait_until(lambda: node.pending_state() == "applied")
        assert node.ask("confirm", id=request["id"])["op"] == "confirmed"
        agent.process.wait(20)
        agent.process.stderr.close()
        node.check(node.to)
        node.chain = [request["id"], *node.chain][:5]

    campaign.run("connection", 12, scenario)
