"""What a plan says about each kind of difference, and who made it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from plan_samples import KEY, RULES, file_state, saved

from vosctl.compile.desired import Desired, File, Service, Sysctl
from vosctl.plan.change import Action, Change, Kind, Plan
from vosctl.plan.make import make_plan, only_drift
from vosctl.plan.observed import parse
from vosctl.plan.risk import Risk

RELAY_JSON = "/etc/vosctl/relay.json"
KEYS_JSON = "/etc/vosctl/relay-keys.json"


def plan_of(desired, raw) -> Plan:
    return make_plan(desired, parse(raw), fingerprint_key=b"test")


def only(plan: Plan) -> Change:
    assert len(plan.changes) == 1, plan.changes
    return plan.changes[0]


def test_nothing_to_do(desired, settled):
    plan = plan_of(desired, settled())
    assert not plan
    assert plan == Plan("edge-a", observed="d" * 64)


def test_first_apply_has_everything_in_order_and_no_drift(desired, settled):
    raw = settled()
    raw.update(applied=None, release=None, packages=dict.fromkeys(desired.packages, False), sets={})
    raw["files"] = {file.path: {"exists": False} for file in desired.files}
    raw["rulesets"] = {"4": {"loaded": None, "intact": False, "then": "", "now": ""}}
    raw["sysctls"]["net.core.rmem_max"]["value"] = "212992"
    raw["services"] = {"vosctl-relay": {"state": "stopped", "enabled": False, "known": False}}
    plan = plan_of(desired, raw)
    assert [(change.kind, change.action) for change in plan.changes] == [
        (Kind.PACKAGE, Action.INSTALL),
        (Kind.PACKAGE, Action.INSTALL),
        (Kind.RELEASE, Action.INSTALL),
        (Kind.FILE, Action.CREATE),
        (Kind.FILE, Action.CREATE),
        (Kind.FILE, Action.CREATE),
        (Kind.SET, Action.CREATE),
        (Kind.RULESET, Action.LOAD),
        (Kind.SYSCTL, Action.CHANGE),
        (Kind.SERVICE, Action.START),
        (Kind.SERVICE, Action.ENABLE),
    ]
    assert plan.drift == ()


def test_missing_parts_of_a_report_count_as_absent(desired, settled):
    raw = settled()
    raw.update(applied=None, packages={}, files={}, sets={}, rulesets={}, services={})
    kinds = {change.kind for change in plan_of(desired, raw).changes}
    assert kinds == {Kind.PACKAGE, Kind.FILE, Kind.SET, Kind.RULESET, Kind.SERVICE}


def test_file_changed_by_the_site_reloads_its_service(desired, settled):
    raw = settled()
    old = file_state(b'{\n "node": "edge-x"\n}\n')
    raw["files"][RELAY_JSON] = old
    raw["applied"]["files"][RELAY_JSON] = old["digest"]
    plan = plan_of(desired, raw)
    file, service = plan.changes
    assert file.diff == (
        f"--- {RELAY_JSON} (node)",
        f"+++ {RELAY_JSON} (site)",
        "@@ -1,3 +1,3 @@",
        " {",
        '- "node": "edge-x"',
        '+ "node": "edge-a"',
        " }",
    )
    assert not file.drift
    assert (service.kind, service.action, service.detail) == (
        Kind.SERVICE,
        Action.RELOAD,
        f"for {RELAY_JSON}",
    )


def test_file_changed_by_hand_is_drift(desired, settled):
    raw = settled()
    raw["files"][RELAY_JSON] = file_state(b"by hand\n")
    assert plan_of(desired, raw).drift[0].name == RELAY_JSON


def test_file_changed_by_hand_and_by_the_site_is_drift(desired, settled):
    raw = settled()
    raw["files"][RELAY_JSON] = file_state(b"by hand\n")
    raw["applied"]["files"][RELAY_JSON] = "0" * 64
    assert plan_of(desired, raw).drift[0].name == RELAY_JSON


def test_file_removed_by_hand_is_drift(desired, settled):
    raw = settled()
    raw["files"][RELAY_JSON] = {"exists": False}
    change = plan_of(desired, raw).changes[0]
    assert (change.action, change.drift) == (Action.CREATE, True)


def test_file_new_in_the_site_is_no_drift(desired, settled):
    wanted = replace(desired, files=(*desired.files, File("/etc/motd", b"hello\n")))
    change = only(plan_of(wanted, settled()))
    assert (change.name, change.action, change.drift) == ("/etc/motd", Action.CREATE, False)
    assert change.diff[-1] == "+hello"


def test_mode_and_owner(desired, settled):
    raw = settled()
    raw["files"]["/etc/systemd/system/vosctl-relay.service"].update(mode=0o600, owner="daemon")
    change = plan_of(desired, raw).changes[0]
    assert change.detail == "mode 0600 -> 0644, owner daemon:root -> root:root"
    assert change.drift
    assert change.diff == ()


def test_secret_file_shows_two_fingerprints(desired, settled):
    raw = settled()
    raw["files"][KEYS_JSON] = file_state(b"an older key", secret=True, mode=0o600)
    diff = plan_of(desired, raw).changes[0].diff
    assert [line[:9] for line in diff] == ["-<secret ", "+<secret "]
    assert diff[0][1:] != diff[1][1:]
    assert diff != make_plan(desired, parse(raw), fingerprint_key=b"other").changes[0].diff
    digests = [file.digest[:8] for file in desired.files] + [raw["files"][KEYS_JSON]["digest"][:8]]
    assert not any(digest in line for digest in digests for line in diff)


def test_secret_file_whose_content_is_sent_by_mistake_stays_hidden(desired, settled):
    raw = settled()
    raw["files"][KEYS_JSON] = file_state(b"an older key", mode=0o600)
    assert all("older" not in line for line in plan_of(desired, raw).changes[0].diff)


def test_binary_file_is_told_by_size(desired, settled):
    wanted = replace(desired, files=(File("/etc/a.bin", b"\xff\x00"),))
    raw = settled()
    raw["files"] = {"/etc/a.bin": file_state(b"\xfe")}
    assert only(plan_of(wanted, raw)).diff == ("binary, 1 bytes -> 2 bytes",)


def test_orphan_file_is_removed(desired, settled):
    raw = settled()
    raw["orphans"]["files"] = ["/etc/vosctl/old.json"]
    change = only(plan_of(desired, raw))
    assert (change.kind, change.name, change.action) == (Kind.FILE, "/etc/vosctl/old.json", Action.REMOVE)


def test_set_members(desired, settled):
    raw = settled()
    raw["sets"]["vos-admin"] = {"digest": "0" * 64, "members": ["192.0.2.0/24", "203.0.113.9"]}
    raw["applied"]["sets"]["vos-admin"] = "0" * 64
    change = only(plan_of(desired, raw))
    assert (change.kind, change.action, change.diff) == (
        Kind.SET,
        Action.CHANGE,
        ("-203.0.113.9", "+198.51.100.7"),
    )
    assert not change.drift


def test_set_changed_by_hand_is_drift(desired, settled):
    raw = settled()
    raw["sets"]["vos-admin"] = {"digest": "1" * 64, "members": ["192.0.2.0/24"]}
    assert only(plan_of(desired, raw)).drift


def test_long_sets_are_cut(desired, settled):
    members = tuple(f"10.0.{i // 250}.{i % 250}" for i in range(1000))
    wanted = replace(desired, sets=(replace(desired.sets[0], members=members),))
    raw = settled()
    raw["sets"] = {}
    diff = only(plan_of(wanted, raw)).diff
    assert len(diff) == 201
    assert diff[-1] == "... and 800 more members"


def test_ruleset_changed_by_the_site_is_compared_as_text(desired, settled):
    raw = settled()
    old = RULES.replace("-A VOS-INPUT -p tcp -m tcp --dport 22 -j DROP\n", "")
    raw["rulesets"]["4"] = {
        "loaded": "0" * 64,
        "intact": True,
        "then": saved(old),
        "now": saved(old),
        "text": old,
    }
    change = only(plan_of(desired, raw))
    assert change.action is Action.CHANGE
    assert not change.drift
    assert [line for line in change.diff if line.startswith(("+-", "--A"))] == [
        "+-A VOS-INPUT -p tcp -m tcp --dport 22 -j DROP"
    ]


def test_ruleset_without_remembered_text_is_compared_with_the_kernel(desired, settled):
    raw = settled()
    old = RULES.replace("-A VOS-INPUT -p tcp -m tcp --dport 22 -j DROP\n", "")
    raw["rulesets"]["4"] = {"loaded": "0" * 64, "intact": True, "then": saved(old), "now": saved(old)}
    diff = only(plan_of(desired, raw)).diff
    assert [line for line in diff[2:] if line[0] in "+-"] == [
        "+-A VOS-INPUT -p tcp -m tcp --dport 22 -j DROP"
    ]


def test_ruleset_changed_by_hand_is_drift_and_shows_what_goes_back(desired, settled):
    raw = settled()
    raw["rulesets"]["4"].update(intact=False, now=saved(RULES).replace("-j DROP", "-j ACCEPT"))
    change = only(plan_of(desired, raw))
    assert (change.action, change.drift) == (Action.LOAD, True)
    assert [line for line in change.diff[2:] if line[0] in "+-"] == [
        "--A VOS-INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
        "+-A VOS-INPUT -p tcp -m tcp --dport 22 -j DROP",
    ]


def test_hook_taken_out_by_hand_is_drift(desired, settled):
    raw = settled()
    raw["rulesets"]["4"].update(intact=False, now=saved(RULES).replace("-A INPUT -j VOS-INPUT\n", ""))
    assert "+-A INPUT -j VOS-INPUT" in only(plan_of(desired, raw)).diff


def test_ruleset_lost_in_a_reboot_is_loaded(desired, settled):
    raw = settled()
    raw["rulesets"]["4"] = {"loaded": None, "intact": False, "then": "", "now": ""}
    change = only(plan_of(desired, raw))
    assert (change.action, change.detail, change.drift) == (
        Action.LOAD,
        "not loaded since the node booted",
        True,
    )


def test_orphan_chains_and_sets(desired, settled):
    raw = settled()
    raw["orphans"].update(sets=["vos-old"], chains={"4": [], "6": ["VOS-OLD"]})
    assert [(change.kind, change.name) for change in plan_of(desired, raw).changes] == [
        (Kind.SET, "vos-old"),
        (Kind.RULESET, "v6 VOS-OLD"),
    ]


@pytest.mark.parametrize(
    ("state", "reason", "fatal"),
    [
        ({"value": None, "writable": False, "held": False}, "kernel 6.1.0 has no such setting", True),
        ({"value": "1", "writable": True, "held": True}, "the host's", False),
        ({"value": "1", "writable": False, "held": False}, "read-only on this node, stays 1", True),
    ],
)
def test_sysctls_that_cannot_be_set_are_held(desired, settled, state, reason, fatal):
    raw = settled()
    raw["sysctls"]["net.core.rmem_max"] = state
    plan = plan_of(desired, raw)
    assert not plan
    assert [(held.name, held.fatal) for held in plan.held] == [("net.core.rmem_max", fatal)]
    assert reason in plan.held[0].reason
    assert len(plan.impossible) == fatal


def test_conntrack_settings_come_with_the_rules(desired, settled):
    key = "net.netfilter.nf_conntrack_max"
    missing = {"value": None, "writable": False, "held": False}
    wanted = replace(desired, sysctls=(Sysctl(key, "1000"),))
    raw = settled()
    raw.update(sysctls={key: missing}, applied=None)
    assert only(plan_of(wanted, raw)).action is Action.CREATE
    assert plan_of(replace(wanted, rulesets=(), sets=()), raw).impossible


def test_sysctl_that_left_the_site_goes_back(desired, settled):
    change = only(plan_of(replace(desired, sysctls=desired.sysctls[1:]), settled()))
    assert (change.name, change.action) == ("net.core.rmem_max", Action.REMOVE)


def test_machine_that_cannot_have_a_firewall_stops_the_apply(desired, settled):
    raw = settled()
    raw["facts"]["can"] = {
        "packages": [False, "no apt"],
        "firewall": [False, "no iptables"],
        "sysctl": [False, "x"],
    }
    assert plan_of(desired, raw).impossible == ()
    raw.update(packages={"iptables": False, "ipset": True}, sets={}, rulesets={})
    assert {(held.kind, held.reason) for held in plan_of(desired, raw).impossible} == {
        (Kind.PACKAGE, "no apt"),
        (Kind.SET, "no iptables"),
        (Kind.RULESET, "no iptables"),
    }


def test_sysctl_drift(desired, settled):
    raw = settled()
    raw["sysctls"]["net.ipv4.tcp_rmem"]["value"] = "4096\t1\t2"
    change = only(plan_of(desired, raw))
    assert (change.diff, change.drift) == (("-4096 1 2", "+4096 87380 6291456"), True)


def test_node_that_is_a_directory_holds_the_kernel_parts(desired, settled):
    raw = settled()
    reason = "node is a directory"
    raw["facts"]["root"] = "/srv/node"
    raw["facts"]["can"] = {key: [False, reason] for key in ("packages", "firewall", "sysctl")}
    raw.update(packages={}, sets={}, rulesets={}, sysctls={})
    plan = plan_of(desired, raw)
    assert not plan
    assert plan.impossible == ()
    assert {(held.kind, held.reason) for held in plan.held} == {
        (kind, reason) for kind in (Kind.PACKAGE, Kind.SET, Kind.RULESET, Kind.SYSCTL)
    }


def test_a_new_release_upgrades_the_relay_once(desired, settled):
    raw = settled()
    raw["release"] = {"version": "0.0.9", "digest": "cd" * 32}
    raw["applied"]["release"] = raw["release"]
    raw["files"][RELAY_JSON] = file_state(b"{}\n")
    plan = plan_of(desired, raw)
    assert plan.changes[0].detail == "0.0.9 cdcdcdcdcdcd -> 0.1.0 abababababab"
    services = [change for change in plan.changes if change.kind is Kind.SERVICE]
    assert [(change.action, change.risk) for change in services] == [(Action.UPGRADE, Risk.RESTARTS_RELAY)]


def test_stopped_service_starts_and_stop_carries_its_risk(desired, settled):
    raw = settled()
    raw["services"]["vosctl-relay"]["state"] = "stopped"
    start = only(plan_of(desired, raw))
    assert (start.action, start.drift) == (Action.START, True)
    wanted = replace(desired, services=(Service("nginx", state="stopped", enabled=False),))
    raw["services"] = {"nginx": {"state": "running", "enabled": True, "known": True}}
    stop, disable = plan_of(wanted, raw).changes
    assert (stop.action, stop.risk, disable.action) == (Action.STOP, Risk.STOPS_SERVICE, Action.DISABLE)


def test_file_may_reload_a_service_that_the_site_does_not_manage(desired, settled):
    wanted = replace(desired, files=(*desired.files, File("/etc/nginx/a.conf", b"", reload="nginx")))
    change = plan_of(wanted, settled()).changes[-1]
    assert (change.name, change.action, change.detail) == (
        "nginx",
        Action.RELOAD,
        "for /etc/nginx/a.conf, if it runs",
    )


def test_what_was_a_file_may_be_something_else_now(desired, settled):
    raw = settled()
    raw["files"][RELAY_JSON] = {
        "exists": True,
        "digest": None,
        "mode": 0o644,
        "owner": "root",
        "group": "root",
    }
    assert "no regular file" in plan_of(desired, raw).changes[0].detail


def test_only_drift(desired, settled):
    raw = settled()
    raw["files"][RELAY_JSON] = file_state(b"by hand\n")
    raw["orphans"]["files"] = ["/etc/old"]
    plan = only_drift(plan_of(desired, raw))
    assert [change.name for change in plan.changes] == [RELAY_JSON]


@pytest.mark.parametrize("broken", [{}, {"facts": 1}, {"files": {"/x": None}}, {"sysctls": {"a": {}}}])
def test_a_report_of_another_shape_is_a_value_error(settled, broken):
    raw = {**settled(), **broken} if broken else {}
    with pytest.raises(ValueError, match="unexpected shape"):
        parse(raw)


def test_key_is_in_no_plan(desired: Desired, settled):
    raw = settled()
    raw["files"] = {}
    assert KEY not in repr(plan_of(desired, raw))
