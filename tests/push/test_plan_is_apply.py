"""What a plan shows is what an apply then does: random edits and random hands, on a directory as a node."""

from __future__ import annotations

import random
import shutil

import pytest
from push_samples import connection, desired_of, options, site_of

from vosctl.compile.desired import File
from vosctl.plan.change import Action, Kind
from vosctl.push import api
from vosctl.push.result import Status

PATHS = tuple(f"/etc/probe/{name}" for name in "abcdef")
STEPS = 6


def edited(dice, files):
    """The site after an edit: a file more, less or other."""
    found = {file.path: file for file in files}
    for path in dice.sample(PATHS, dice.randint(0, 3)):
        if path in found and dice.random() < 0.3:
            del found[path]
        else:
            text, mode = str(dice.randint(0, 2)).encode(), dice.choice((0o644, 0o600))
            found[path] = File(path, text, mode, secret=dice.random() < 0.2)
    return tuple(found[path] for path in sorted(found))


def tampered(dice, root):
    """The node after a hand: some of its files changed or gone."""
    for path in dice.sample(PATHS, dice.randint(0, 2)):
        place = root / path[1:]
        if place.exists():
            dice.choice(
                (place.unlink, lambda at=place: at.write_bytes(b"by hand"), lambda at=place: at.chmod(0o640))
            )()


def words(plan):
    """The plan in the agent's words."""
    assert all(change.kind is Kind.FILE for change in plan.changes)
    kept = [f"file {change.name}" for change in plan.changes if change.action is not Action.REMOVE]
    return kept + [f"file {change.name} removed" for change in plan.changes if change.action is Action.REMOVE]


@pytest.mark.parametrize("seed", [7, 11])
def test_plan_and_apply_agree(tmp_path, seed):
    dice, root = random.Random(seed), tmp_path / "node"
    root.mkdir()
    site, files, changes = site_of(edge_a=connection(root=root)), (), 0
    for step in range(STEPS):
        files = edited(dice, files)
        tampered(dice, root)
        wanted = {"edge-a": desired_of(*files)}
        before = shutil.copytree(root, tmp_path / f"before-{step}")
        planned = api.apply_site(site, wanted, options=options(check=True))["edge-a"]
        for file in (each for each in before.rglob("etc/**/*") if each.is_file()):
            assert (root / file.relative_to(before)).read_bytes() == file.read_bytes(), (
                "a check changed something"
            )
        applied = api.apply_site(site, wanted, options=options())["edge-a"]
        assert planned.plan is not None
        assert applied.plan == planned.plan, (seed, step)
        assert sorted(applied.report.get("changed", [])) == sorted(words(planned.plan)), (seed, step)
        assert applied.status is (Status.CHANGED if planned.plan else Status.OK)
        assert not api.plan_site(site, wanted, options=options())["edge-a"].plan, (seed, step)
        changes += len(planned.plan.changes)
    assert changes > STEPS
