"""Golden files of one plan in three formats; VOSCTL_REWRITE_GOLDEN=1 writes them anew."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from plan_samples import KEY, file_state, saved

from vosctl.plan import json as as_json
from vosctl.plan import markdown, text
from vosctl.plan.change import Action, Change, Held, Kind, Plan
from vosctl.plan.make import make_plan
from vosctl.plan.observed import SshPath, parse
from vosctl.plan.risk import Risk

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def plan(desired, settled) -> Plan:
    """A plan with something of everything: site changes, drift, secrets, held items, a refusal."""
    raw = settled()
    raw["packages"]["ipset"] = False
    raw["release"] = {"version": "0.0.9", "digest": "cd" * 32}
    raw["files"]["/etc/vosctl/relay.json"] = file_state(b'{\n "node": "edge-x"\n}\n')
    raw["files"]["/etc/vosctl/relay-keys.json"] = file_state(b"older", secret=True, mode=0o640)
    raw["orphans"]["files"] = ["/etc/vosctl/old|name.json"]
    raw["sets"]["vos-admin"] = {"digest": "1" * 64, "members": ["192.0.2.0/24"]}
    changed = saved(desired.rulesets[0].text).replace("-j DROP", "-j RETURN")
    raw["rulesets"]["4"].update(intact=False, now=changed)
    raw["sysctls"]["net.core.rmem_max"]["held"] = True
    raw["sysctls"]["net.core.rmem_max"]["value"] = "212992"
    observed = parse(raw, ssh=SshPath.parse("203.0.113.5 40000 10.0.0.2 22"))
    return make_plan(desired, observed, fingerprint_key=b"golden")


RENDERINGS = {
    "plan.txt": text.render,
    "plan-short.txt": lambda plan: text.render(plan, diff=False),
    "plan.md": markdown.render,
    "plan.json": as_json.render,
}


@pytest.mark.parametrize("name", RENDERINGS)
def test_golden(plan, name):
    rendered = RENDERINGS[name](plan)
    if os.environ.get("VOSCTL_REWRITE_GOLDEN") == "1":
        (GOLDEN / name).write_text(rendered, encoding="utf-8")
    assert rendered == (GOLDEN / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", RENDERINGS)
def test_no_secret_in_any_rendering(plan, desired, name):
    rendered = RENDERINGS[name](plan)
    assert KEY not in rendered
    secret = next(file for file in desired.files if file.secret)
    assert secret.digest not in rendered
    assert "<secret " in rendered or name == "plan-short.txt"


def test_no_change():
    assert text.render(Plan("edge-a")) == "edge-a: no change\n"
    assert json.loads(as_json.render(Plan("edge-a")))["changes"] == []
    assert markdown.render(Plan("edge-a")).startswith("### `edge-a`: no change")


def test_control_characters_of_a_node_never_reach_the_terminal():
    evil = "\x1b]0;owned\x07\x9b2J\r\u202e"
    change = Change(Kind.FILE, f"/etc/{evil}", Action.CHANGE, evil, (f"-{evil}",), Risk.STOPS_SERVICE)
    plan = Plan("edge-a", (change,), (Held(Kind.SYSCTL, evil, evil),), refusal=evil)
    for rendered in (text.render(plan), markdown.render(plan), as_json.render(plan)):
        assert not set(rendered) & set("\x1b\x07\x9b\r\u202e")


def test_markdown_fences_hold_whatever_a_file_says():
    change = Change(Kind.FILE, "/a<b>|c", Action.CHANGE, diff=("+```", "+````", "+</details>"))
    rendered = markdown.render(Plan("edge-a", (change,)))
    assert "\n`````diff\n" in rendered
    assert "<code>/a&lt;b&gt;&#124;c</code>" in rendered
