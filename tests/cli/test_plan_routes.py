"""``vosctl plan`` of a change of rates: told in words, weighed by traffic, and failing where a pipeline asks for it."""

from __future__ import annotations

import pytest

from vosctl.cli.main import run

VARS = """
firewall: {{enabled: false}}
relay: {{enabled: false}}
rates:
  groups: {{gold: {{rows: {{"44": {{rate: "0.02"}}}}}}}}
  clearing: {{cheap: {{rows: {{"44": {{rate: "{price}"}}}}}}}}
gateways:
  far: {{type: routing, addresses: [192.0.2.20], tier: small, rate_group: cheap}}
"""


@pytest.fixture
def price(tmp_path, monkeypatch):
    """A site of one node, a folder of this machine, with a vendor's price to be chosen."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "inventory"
    (folder / "group_vars").mkdir(parents=True)
    (tmp_path / "root").mkdir()
    hosts = f"all: {{hosts: {{edge: {{connection: local, host: 127.0.0.1, root: {tmp_path}/root}}}}}}\n"
    (folder / "hosts.yml").write_text(hosts)
    return lambda price: (folder / "group_vars/all.yml").write_text(VARS.format(price=price))


def test_a_loss_is_told_with_its_traffic_and_fails_the_pipeline(price, tmp_path, capsys):
    price("0.01")
    assert run(["apply", "-i", "inventory"]) == 0
    assert (tmp_path / "root/etc/vosctl/routes.bin").exists()
    price("0.03")
    (tmp_path / "minutes.csv").write_text("prefix,minutes\n4420,1200\n33,5\n")
    capsys.readouterr()
    words = ["plan", "-i", "inventory", "--traffic", "minutes.csv", "--fail-on"]
    assert run([*words, "negative-margin"]) == 5
    told = "sold at a loss: 44 (-0.01 a minute on far, -50.0 %); 1,200 minutes of traffic"
    assert told in " ".join(capsys.readouterr().out.split())
    assert run([*words, "no-route"]) == 0
    assert run([*words, "nonsense"]) == 64
