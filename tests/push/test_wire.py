"""What goes over the wire: digests first, then only the contents that differ."""

from __future__ import annotations

import base64
import dataclasses
import json

from msgspec.structs import replace
from push_samples import KEY, desired_of

from vosctl.compile.desired import File, Hook, IpSet, Release, Ruleset, Service, Sysctl
from vosctl.plan.observed import parse
from vosctl.push import wire
from vosctl.push.agent import wanted as agent_wanted

RULES = Ruleset(4, "*filter\n:VOS-INPUT - [0:0]\nCOMMIT\n", (Hook("filter", "INPUT", "VOS-INPUT"),))
DESIRED = desired_of(
    File("/etc/a", b"a"),
    File("/etc/keys", KEY.encode(), 0o600, secret=True, reload="vosctl-relay"),
    packages=("ipset",),
    release=Release("0.1.0", "ab" * 32, b"archive"),
    sets=(IpSet("vos-a", "hash:net", 4, ("192.0.2.0/24",), 64),),
    rulesets=(RULES,),
    sysctls=(Sysctl("net.core.rmem_max", "1", host_wide=True),),
    services=(
        Service("vosctl-relay", supervise=("/opt/vosctl/current/bin/vosctl-relay",), pidfile="/run/x"),
    ),
)


def observed(**changed):
    raw = {
        "digest": "0",
        "facts": {"can": {}},
        "packages": {},
        "release": {"version": "0.1.0", "digest": "ab" * 32},
        "files": {
            file.path: {"exists": True, "digest": file.digest, "mode": 0, "owner": "", "group": ""}
            for file in DESIRED.files
        },
        "sets": {"vos-a": {"digest": DESIRED.sets[0].digest}},
        "rulesets": {"4": {"loaded": RULES.digest, "intact": True, "then": "", "now": ""}},
        "sysctls": {},
        "services": {},
        "orphans": {"files": [], "sets": [], "chains": {}},
    }
    return parse({**raw, **changed})


def test_wanted_holds_no_contents_and_is_what_the_agent_takes():
    wanted = json.loads(json.dumps(wire.wanted(DESIRED, revision="abc")))
    assert agent_wanted.check(wanted) == wanted
    text = json.dumps(wanted)
    assert KEY not in text
    assert base64.b64encode(KEY.encode()).decode() not in text
    assert "192.0.2.0/24" not in text


def test_nothing_is_sent_to_a_node_that_has_it_all():
    assert wire.items(DESIRED, observed()) == {"files": {}, "sets": {}, "rulesets": {}}


def test_only_what_differs_is_sent():
    files = {
        "/etc/a": {"exists": True, "digest": "0" * 64},
        "/etc/keys": {"exists": True, "digest": DESIRED.files[1].digest, "mode": 0o644},
    }
    assert wire.items(DESIRED, observed(files=files))["files"] == {"/etc/a": "YQ=="}
    assert wire.items(DESIRED, observed(sets={}))["sets"] == {"vos-a": ["192.0.2.0/24"]}
    assert wire.items(DESIRED, observed(release=None))["release"] == {"archive": "YXJjaGl2ZQ=="}
    moved = {"4": {"loaded": RULES.digest, "intact": False, "then": "", "now": ""}}
    assert wire.items(DESIRED, observed(rulesets=moved))["rulesets"] == {"4": RULES.text}
    stale = {"files": [], "sets": [], "chains": {"4": ["VOS-OLD"]}}
    assert wire.items(DESIRED, observed(orphans=stale))["rulesets"] == {"4": RULES.text}


def test_nothing_of_the_firewall_is_sent_where_there_is_none():
    facts = {"can": {"firewall": [False, "node is a directory"]}}
    sent = wire.items(DESIRED, observed(facts=facts, sets={}, rulesets={}))
    assert (sent["sets"], sent["rulesets"]) == ({}, {})


def test_a_file_that_is_a_rulesets_text_travels_once():
    text = RULES.text.encode()
    file = dataclasses.replace(DESIRED.files[0], path="/etc/rules", content=text)
    desired = replace(DESIRED, files=(file,))
    there = {"/etc/rules": {"exists": True, "digest": "0" * 64}}
    old = {"4": {"loaded": "1" * 64, "intact": True, "then": "", "now": "", "text": "*filter\nCOMMIT\n"}}
    sent = wire.items(desired, observed(files=there, rulesets=old))
    assert sent["files"] == {"/etc/rules": {"ruleset": "4"}}
    assert sent["rulesets"] == {"4": RULES.text}
    # Where only the file differs it is a file like others.
    sent = wire.items(desired, observed(files=there))
    assert (sent["files"], sent["rulesets"]) == ({"/etc/rules": base64.b64encode(text).decode()}, {})
    # What comes back is the file's content.
    there["/etc/rules"]["content"] = {"ruleset": "4"}
    assert observed(files=there, rulesets=old).files["/etc/rules"].content == b"*filter\nCOMMIT\n"
