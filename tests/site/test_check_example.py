"""The example site is what a new user reads first and what the demo runs: it must be right, and say what it should."""

from __future__ import annotations

import random
import re
import shutil
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path

import pytest
import yaml

from vosctl.errors import VosctlError
from vosctl.secret import Secret
from vosctl.site.model import Auth, Encryption, GatewayType, ProxyMode
from vosctl.site.problems import Problems
from vosctl.site.read import SiteOptions, read_inputs, read_site

ROOT = Path(__file__).parents[2]
PLAYBOOK = ROOT / "playbooks/site.yml"


@pytest.fixture(scope="module")
def site():
    built, problems = read_site(SiteOptions(playbook=PLAYBOOK))
    assert [str(problem) for problem in problems.found] == []
    return built


def test_two_edges_with_their_addresses(site):
    assert site.selected == ("edge-a", "edge-b")
    assert [str(node.relay.addresses[0]) for node in site.nodes.values()] == ["10.231.0.2", "10.231.0.3"]
    assert site.directory.resolve() == ROOT


def test_three_customers_with_the_three_ways_to_authenticate_and_tiers_of_their_own(site):
    gateways = {name: gateway for node in site.nodes.values() for name, gateway in node.gateways.items()}
    customers = [gateway for gateway in gateways.values() if gateway.type is GatewayType.MAPPING]
    assert {customer.auth for customer in customers} == set(Auth)
    assert len({customer.tier for customer in customers}) == 3
    assert len(gateways) - len(customers) == 3
    assert any(network.version == 6 for gateway in gateways.values() for network in gateway.networks)
    assert gateways["bluefin"].limits.cps == 60
    assert gateways["bluefin"].limits.concurrent == 500


def test_demo_hosts_are_gateways_and_the_attacker_is_none(site):
    of = {
        str(net): name
        for node in site.nodes.values()
        for name, g in node.gateways.items()
        for net in g.networks
    }
    assert of["10.231.0.10/32"] == "acme"
    assert of["10.231.0.11/32"] == "orbit"
    attacker = ip_network("10.231.0.12")
    for node in site.nodes.values():
        networks = [*map(ip_network, of), *node.firewall.trusted, *node.firewall.admin]
        assert not any(net.version == 4 and attacker.subnet_of(net) for net in networks)
        assert any(ip_network("10.231.255.1").subnet_of(net) for net in node.firewall.admin)


def test_trunks_belong_to_both_ends_as_one_object(site):
    a, b = site.nodes["edge-a"].trunks, site.nodes["edge-b"].trunks
    assert a.keys() == b.keys() == {"ab", "ab-metro"}
    assert a["ab"] is b["ab"]
    assert (a["ab"].encryption, a["ab"].public) == (Encryption.AES128, True)
    assert [key.name for key in a["ab"].accept] == ["ab-2026q4", "ab-2026q3"]
    assert isinstance(a["ab"].key.value, Secret)


def test_media_goes_through_the_relay_with_the_four_presets(site):
    media = site.nodes["edge-a"].media
    assert media.proxy is ProxyMode.MUST_ON
    buffers = {g.jitter.name for node in site.nodes.values() for g in node.gateways.values()}
    assert buffers == {"lan", "wan", "internet", "satellite"}


def test_profit_guard_has_one_vendor_to_lock_for_one_prefix(site):
    node = site.nodes["edge-a"]
    quartz = node.gateways["quartz"]
    deck, group = node.rates.clearing["quartz"], node.rates.groups["wholesale"]
    assert quartz.guard.lowest_profit == Decimal("0.00002")
    lossy = [
        prefix
        for prefix, row in deck.rows.items()
        if group.rows[prefix].rate - row.rate < quartz.guard.lowest_profit * 60
    ]
    assert lossy == ["4420"]


def test_files_are_rendered_for_each_node_and_show_no_secret(site):
    texts = {name: node.files[0].content for name, node in site.nodes.items()}
    assert texts["edge-a"].splitlines() == [
        "edge-a is configured by vosctl: changes made here by hand are put back.",
        "gateways: acme, bluefin, callshop, quartz",
    ]
    assert "orbit, polar" in texts["edge-b"]


def test_nodes_share_what_they_do_not_differ_in(site):
    a, b = site.nodes["edge-a"], site.nodes["edge-b"]
    assert a.rates is b.rates
    assert a.qos is b.qos
    assert a.media is b.media


def test_each_file_names_a_schema_that_is_there():
    files = [*(ROOT / "inventory").rglob("*.yml"), PLAYBOOK]
    assert len(files) == 8
    for file in files:
        first = file.read_text(encoding="utf-8").splitlines()[0]
        match = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
        assert match, f"{file} does not begin with its schema"
        schema = (file.parent / match[1]).resolve()
        assert schema.is_file()
        assert schema.parent == ROOT / "schemas"


def test_no_machine_of_anybody_is_in_the_inventory():
    assert not re.search(
        r"/home|/root|id_[a-z]+|\.pem", (ROOT / "inventory/hosts.yml").read_text().split("all:")[1]
    )


def test_limit_leaves_the_other_end_readable():
    built, problems = read_site(SiteOptions(playbook=PLAYBOOK, limit="edge-b"))
    assert not problems.found
    assert built.selected == ("edge-b",)
    assert built.nodes["edge-a"].trunks["ab"].other("edge-a") == "edge-b"


def test_inventory_is_found_beside_the_playbooks_and_here(monkeypatch, tmp_path):
    for folder, options in (
        (ROOT, SiteOptions(playbook=Path("playbooks/site.yml"))),
        (ROOT / "playbooks", SiteOptions(playbook=Path("site.yml"))),
        (ROOT, SiteOptions()),
        (tmp_path, SiteOptions(playbook=PLAYBOOK, inventory=(ROOT / "inventory",))),
    ):
        monkeypatch.chdir(folder)
        built, problems = read_site(options)
        assert [str(problem) for problem in problems.found] == []
        assert built.directory.resolve() == ROOT


def test_missing_inventory_is_said_once(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    _, problems = read_site(SiteOptions())
    assert [str(problem) for problem in problems.found] == [
        "inventory:1:1: there is no inventory [inventory-missing]"
    ]


def test_inputs_tell_each_layer():
    problems = Problems()
    inputs = read_inputs(SiteOptions(playbook=PLAYBOOK, extra_vars=("media.jitter=lan",)), problems)
    assert not problems.found
    assert inputs.variables("edge-a").items["media"].items["jitter"].mark.file == "--extra-vars"


JUNK = (None, True, False, 0, -1, 99999999, 0.5, "", "x", "off", "0.0.0.0/0", "::/0", "a" * 300, "\u00e9\n", [], {}, [None],
        [[1]], [{}], {"": None}, {"x": {"y": []}}, {"44": "-1"}, "16384-32767", "{{ nobody }}", "2" * 40)  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_junk_anywhere_is_a_problem_and_never_a_traceback(seed: int, tmp_path: Path):
    dice = random.Random(seed)
    names = [path.relative_to(ROOT) for path in (ROOT / "inventory").rglob("*.yml")]
    names.append(PLAYBOOK.relative_to(ROOT))
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        tree = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
        if dice.random() < 0.6:
            for _ in range(dice.randint(1, 3)):
                _spoil(tree, dice)
        (tmp_path / name).write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    shutil.copytree(ROOT / "inventory/files", tmp_path / "inventory/files")
    try:
        _, problems = read_site(SiteOptions(playbook=tmp_path / "playbooks/site.yml"))
    except VosctlError:
        return
    for problem in problems.found:
        assert problem.mark.line >= 1, problem
        assert problem.message
        assert not re.search(r"u7XkQ2mZr94TbnLe|Tm4wK9xQz2Rb", problem.message + problem.hint)


def _spoil(tree: object, dice: random.Random) -> None:
    while True:
        keys = list(tree) if isinstance(tree, dict) else range(len(tree))
        if not keys:
            return
        key = dice.choice(list(keys))
        below = tree[key]
        if not isinstance(below, (dict, list)) or not below or dice.random() < 0.2:
            tree[key] = dice.choice(JUNK)
            if isinstance(tree, dict) and dice.random() < 0.2:
                tree[dice.choice(["x", "44", "", "é", "a.b", "on"])] = tree.pop(key)
            return
        tree = below
