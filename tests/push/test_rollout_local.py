"""Rollouts over directories as nodes: orders, interrupts, gates that fail, what cannot go back, the journal."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace
from push_samples import KEY, connection, desired_of, options, site_of

from vosctl.compile.desired import File, Sysctl
from vosctl.errors import VosctlError
from vosctl.push import api, planfile
from vosctl.push.event import BatchStarted, GateChecked, GoingBack, Pausing, RolledBack, Stopped
from vosctl.push.fingerprint import Fingerprint
from vosctl.push.journal import KEPT, Journal, Run
from vosctl.push.result import Status, exit_code
from vosctl.push.schedule import Batch, Wishes, regroup, schedule
from vosctl.site.rollout import Check, Gate, Order, Rollout, Size, Where

NAMES = ("edge-a", "edge-b", "edge-c")
SECRET = File("/etc/vosctl/relay-keys.json", KEY.encode(), 0o600, secret=True)


class Told:
    """Remembers what a rollout says; ``at_pause`` is called in the pause."""

    def __init__(self, at_pause=lambda: None):
        self.said = []
        self.events = []
        self._at_pause = at_pause

    def handle(self, event):
        self.events.append(event)
        if isinstance(event, BatchStarted):
            self.said.append(("batch", event.number, event.of, event.nodes))
        elif isinstance(event, Pausing):
            self.said.append(("pause", event.seconds))
            self._at_pause()
        elif isinstance(event, GoingBack):
            self.said.append(("back", event.number, event.nodes))
        elif isinstance(event, Stopped):
            self.said.append(("stopped", event.number, event.left))


@pytest.fixture
def roots(tmp_path):
    return {name: tmp_path / name for name in NAMES}


@pytest.fixture
def site(roots):
    return site_of(**{name.replace("-", "_"): connection(root=root) for name, root in roots.items()})


def wanted(word):
    return {name: desired_of(File("/etc/probe", word.encode()), SECRET, node=name) for name in NAMES}


@pytest.fixture
def roll_out(site):
    def go(word, *, serial="1", names=NAMES, told=None, entry=None, accepts=None, **fields):
        rollout = Rollout(hosts=names, serial=(Size.parse(serial),), **fields)
        batches = schedule(replace_rollouts(site, rollout), Wishes())
        return api.roll_out_site(
            site,
            wanted(word),
            batches=batches,
            options=options(),
            entry=entry,
            accepts=accepts,
            processors=[told or Told()],
        )

    return go


def replace_rollouts(site, *rollouts):
    site.rollouts = rollouts
    return site


def words(roots):
    return [
        (root / "etc/probe").read_text() if (root / "etc/probe").exists() else "" for root in roots.values()
    ]


def statuses(results):
    return [result.status.value for result in results.values()]


# Batches


@pytest.mark.parametrize(
    ("order", "first"),
    [
        (Order.INVENTORY, "b"),
        (Order.REVERSE_INVENTORY, "d"),
        (Order.SORTED, "a"),
        (Order.REVERSE_SORTED, "d"),
    ],
)
def test_orders(site, order, first):
    batches = schedule(replace_rollouts(site, Rollout(hosts=("b", "a", "c", "d"), order=order)), Wishes())
    assert [batch.nodes[0] for batch in batches] == [first]


def test_a_shuffled_order_comes_again_with_its_seed(site):
    hosts = tuple(f"edge-{number}" for number in range(40))
    replace_rollouts(site, Rollout(hosts=hosts, order=Order.SHUFFLE))
    orders = [schedule(site, Wishes(seed=seed))[0].nodes for seed in (7, 7, 8)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[2]) == sorted(hosts)


def test_sizes_of_batches(site):
    hosts = tuple(f"edge-{number}" for number in range(10))
    canary = (Size(1), Size(25, percent=True), Size(100, percent=True))
    replace_rollouts(site, Rollout(hosts=hosts, serial=canary))
    assert [len(batch.nodes) for batch in schedule(site, Wishes())] == [1, 2, 7]
    assert [len(batch.nodes) for batch in schedule(site, Wishes(serial=(Size(4),)))] == [4, 4, 2]
    left = regroup(schedule(site, Wishes()), ["edge-2", "edge-9"])
    assert [batch.nodes for batch in left] == [("edge-2",), ("edge-9",)]


def test_every_node_is_in_one_batch_whatever_is_asked_for(site):
    dice = random.Random(20261123)
    for _ in range(500):
        hosts = tuple(f"edge-{number}" for number in range(dice.randrange(1, 60)))
        sizes = tuple(Size(dice.randrange(1, 101), dice.random() < 0.5) for _ in range(dice.randrange(4)))
        replace_rollouts(site, Rollout(hosts=hosts, serial=sizes, order=dice.choice(list(Order))))
        found = [name for batch in schedule(site, Wishes(seed=1)) for name in batch.nodes]
        assert sorted(found) == sorted(hosts)


# Faults


def test_an_interrupt_in_a_pause_leaves_the_rest_for_later(roll_out, roots, tmp_path):
    journal = Journal(tmp_path / "site")
    told = Told(at_pause=interrupt)
    with pytest.raises(KeyboardInterrupt):
        roll_out("one", pause=60.0, told=told, entry=begin(journal))
    assert told.said == [("batch", 1, 3, ("edge-a",)), ("pause", 60.0)]
    assert words(roots) == ["one", "", ""]
    run = journal.last()
    assert (run.state, run.left) == ("stopped", ("edge-b", "edge-c"))
    assert "pending.json" not in {path.name for path in (roots["edge-a"] / "var/lib/vosctl").iterdir()}


def interrupt():
    raise KeyboardInterrupt


def begin(journal):
    return journal.begin(
        Run(
            "2026-01-31T00:00:00Z",
            "me@here",
            None,
            "00",
            "ff",
            {},
            {},
            [[name] for name in NAMES],
            dict.fromkeys(NAMES, "untouched"),
        )
    )


def test_a_relay_that_does_not_answer_takes_the_batch_back(roll_out, roots):
    assert statuses(roll_out("one")) == ["changed"] * 3
    told = Told()
    results = roll_out("two", told=told, serial="2", health=(Gate(Check.RELAY, within=0.3),))
    assert statuses(results) == ["rolled_back", "rolled_back", "untouched"]
    assert exit_code(results) == 6
    assert "health gate relay: it does not answer" in str(results["edge-a"].error)
    assert told.said[1:] == [("back", 1, ("edge-a", "edge-b")), ("stopped", 1, ("edge-c",))]
    gates = {event.node: event for event in told.events if isinstance(event, GateChecked)}
    assert sorted(gates) == ["edge-a", "edge-b"]
    assert not gates["edge-a"].ok
    assert "does not answer" in gates["edge-a"].why
    assert [(event.node, event.ok) for event in told.events if isinstance(event, RolledBack)] == [
        ("edge-a", True),
        ("edge-b", True),
    ]
    assert words(roots) == ["one"] * 3


def test_a_node_that_was_not_changed_fails_and_stays(roll_out, roots):
    roll_out("one")
    results = roll_out("one", health=(Gate(Check.COMMAND, run=("false",)),))
    assert statuses(results) == ["failed", "untouched", "untouched"]
    assert exit_code(results) == 2
    assert words(roots) == ["one"] * 3


@pytest.mark.parametrize("where", list(Where))
def test_commands_see_their_node_and_have_to_end(roll_out, where):
    right = Gate(Check.COMMAND, run='test "$VOSCTL_NODE/$VOSCTL_HOST" = "edge-a/localhost"', where=where)
    results = roll_out("one", names=NAMES[:2], health=(right,))
    assert statuses(results) == ["changed", "rolled_back"]
    slow = Gate(Check.COMMAND, within=0.3, run=("sleep", "60"), where=where)
    results = roll_out("two", names=NAMES[:1], health=(slow,))
    assert "within 0.3 s" in str(results["edge-a"].error)
    missing = Gate(Check.COMMAND, run=("/nonexistent/tool",), where=where)
    assert "exit code 127" in str(roll_out("three", names=NAMES[:1], health=(missing,))["edge-a"].error)


def test_what_cannot_go_back_is_told_with_what_to_do(roll_out, roots):
    roll_out("one")
    lose = Gate(Check.COMMAND, run=f"rm -r {roots['edge-a']}/var/lib/vosctl/snapshots/*; false")
    result = roll_out("two", health=(lose,))["edge-a"]
    assert result.status is Status.FAILED
    assert "and it could not be put back" in str(result.error)
    assert result.error.hint == "vosctl rollback -l edge-a"


def test_without_a_limit_a_run_stops_only_where_all_of_a_batch_failed(roll_out, roots):
    for name in NAMES[:2]:
        (roots[name] / "etc/probe").mkdir(parents=True)
    assert statuses(roll_out("one", serial="2")) == ["failed", "failed", "untouched"]
    (roots["edge-a"] / "etc/probe").rmdir()
    assert statuses(roll_out("one", serial="2")) == ["changed", "failed", "changed"]


def test_a_node_that_moved_behind_a_stored_plan_is_left_alone(roll_out, roots):
    results = roll_out("one", serial="100%", accepts=lambda name, _digest: name != "edge-b")
    assert statuses(results) == ["changed", "failed", "changed"]
    assert words(roots) == ["one", "", "one"]


# Files


def test_the_journal_is_bounded_and_says_what_is_broken(tmp_path):
    journal = Journal(tmp_path)
    assert journal.last() is None
    for _ in range(KEPT + 3):
        entry = begin(journal)
    assert len(list(journal.folder.iterdir())) == KEPT
    assert journal.last() == entry.run
    entry.path.write_text('{"format": 1, "nodes"')
    with pytest.raises(VosctlError, match="is no journal of a run"):
        journal.last()
    shutil.rmtree(journal.folder)
    journal.folder.write_text("in the way")
    with pytest.raises(VosctlError, match="the run's journal cannot be written"):
        begin(journal)


def test_a_fingerprint_moves_with_everything_that_is_wanted():
    state = wanted("one")
    batches = (Batch(NAMES, Rollout(hosts=NAMES)),)
    mark = Fingerprint(state)
    before = mark.of_site(state, batches)
    assert Fingerprint(wanted("one"), mark.salt).of_site(wanted("one"), batches) == before
    assert Fingerprint(state).of_site(state, batches) != before, "another salt"
    one = state["edge-a"]
    others = (
        replace(one, files=(*one.files[:1], dataclasses.replace(SECRET, content=b"another"))),
        replace(one, files=(dataclasses.replace(one.files[0], mode=0o600), SECRET)),
        replace(one, packages=("sngrep",)),
        replace(one, sysctls=(Sysctl("net.core.rmem_max", "1"),)),
    )
    for other in others:
        changed = {**state, "edge-a": other}
        assert Fingerprint(changed, mark.salt).of_site(changed, batches) != before
    healthy = (Batch(NAMES, Rollout(hosts=NAMES, health=(Gate(Check.RELAY),))),)
    assert mark.of_site(state, healthy) != before


@pytest.mark.parametrize("text", ["- hosts: all\n", "", "{hosts: all}", '{"kind": "another"}'])
def test_what_is_no_plan_is_read_as_a_playbook(tmp_path, text):
    path = tmp_path / "site.yml"
    path.write_text(text)
    if text.startswith("{hosts"):
        with pytest.raises(VosctlError, match="is no whole plan"):
            planfile.read(path)
    else:
        assert planfile.read(path) is None
    assert planfile.read(tmp_path) is None


@pytest.mark.parametrize(("change", "told"), [({"format": 2}, "format 2"), ({"salt": None}, "no whole plan")])
def test_plans_of_other_versions_are_refused(tmp_path, change, told):
    path = tmp_path / "plan.json"
    plan = planfile.PlanFile("now", "me", None, "00", "ff", {}, {}, {}, {})
    planfile.write(path, plan)
    assert planfile.read(path) == plan
    assert path.stat().st_mode & 0o777 == 0o600
    found = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({key: value for key, value in found.items() if value is not None}))
    with pytest.raises(VosctlError, match=told):
        planfile.read(path)


def test_history_outlives_the_journal_it_comes_from(site, roots, roll_out):
    roll_out("one", names=NAMES[:1])
    roll_out("two", names=NAMES[:1])
    journal = Path(roots["edge-a"] / "var/lib/vosctl/journal.jsonl")
    with journal.open("a") as stream:
        stream.write('{"time": 1, "event": "booted"}\n' * 40000)  # more than a journal holds
    for word in ("three", "four"):
        roll_out(word, names=NAMES[:1])
    assert journal.stat().st_size < 900_000
    site.selected = NAMES[:1]
    report = api.history_site(site, options=options())["edge-a"].report
    records = report["history"]
    assert [record["result"] for record in records] == ["confirmed"] * 4
    assert {record["holder"] for record in records} == {"tester@here"}
    assert records[0]["changed"] == ["file /etc/probe", "file /etc/vosctl/relay-keys.json"]
    assert [record["count"] for record in records] == [2, 1, 1, 1]
    api.rollback_site(site, options=options())
    last = api.history_site(site, options=options())["edge-a"].report["history"][-1]
    assert (last["result"], last["why"]) == ("rolled back", "rolled back by tester@here")


def test_history_tells_what_waits_and_what_failed(site, roots):
    site.selected = NAMES[:1]
    api.apply_site(site, wanted("one"), options=options(auto_confirm=False))
    records = api.history_site(site, options=options())["edge-a"].report["history"]
    assert [record["result"] for record in records] == ["waiting"]
    api.confirm_site(site, options=options())
    (roots["edge-a"] / "etc/two").mkdir()
    broken = {name: desired_of(File("/etc/two", b""), node=name) for name in NAMES}
    assert api.apply_site(site, broken, options=options())["edge-a"].status is Status.FAILED
    records = api.history_site(site, options=options())["edge-a"].report["history"]
    assert [record["result"] for record in records] == ["confirmed", "failed"]
    assert "/etc/two" in records[-1]["why"]
