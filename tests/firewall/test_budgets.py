"""What strangers may send: the numbers, where they come from, and that no table is ever full."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace
from site_samples import firewall, gateway, node, site

from vosctl.firewall.budgets import allowances
from vosctl.firewall.meter import fitting, memory
from vosctl.firewall.policy import policy_of
from vosctl.site.model import Auth, Budget, Limits

NONE_WRITTEN = firewall(budgets={}, network_factor=0)


def device(name, cps):
    return gateway(name, auth=Auth.PASSWORD, limits=Limits(cps, 100, timedelta(minutes=30)))


def found(*gateways, policy=NONE_WRITTEN):
    return {
        name: (each.source, each.network, each.path) for name, each in allowances(policy, gateways).items()
    }


def test_a_small_gateway_gets_what_its_calls_need():
    budgets = found(device("cube", 10))
    assert budgets["INVITE"] == (Budget(30, 60), Budget(240, 480), "gateways.cube")
    assert budgets["other"] == (Budget(80, 160), Budget(640, 1280), "gateways.cube")
    assert budgets["stream"] == (Budget(140, 280), Budget(1120, 2240), "gateways.cube")
    assert budgets["connect"] == (Budget(10, 20), Budget(80, 160), "gateways.cube")
    assert budgets["REGISTER"] == (Budget(2, 10), Budget(16, 80), "firewall.budgets.REGISTER")


def test_the_largest_sets_the_rate_and_their_sum_the_share_of_a_network():
    budgets = found(device("small", 10), device("large", 100), gateway("known", "192.0.2.1/32"))
    assert budgets["INVITE"] == (Budget(300, 600), Budget(2400, 4800), "gateways.large")
    many = found(*(device(f"d{number}", 10) for number in range(20)))
    assert many["INVITE"][:2] == (Budget(30, 60), Budget(600, 1200))
    assert many["REGISTER"] == (Budget(2, 80), Budget(40, 1600), "gateways.d0")


def test_calls_without_a_password_count_for_nothing():
    assert found(gateway("known", "192.0.2.1/32", limits=Limits(200, 1, timedelta(1)))) == found()


def test_what_is_written_wins_and_may_be_written_in_part():
    written = replace(
        NONE_WRITTEN, budgets={"INVITE": Budget(7, 0), "other": Budget(0, 99)}, network_factor=3
    )
    budgets = found(device("cube", 10), policy=written)
    assert budgets["INVITE"] == (Budget(7, 60), Budget(21, 180), "firewall.budgets.INVITE")
    assert budgets["other"] == (Budget(80, 99), Budget(240, 297), "firewall.budgets.other")


@pytest.mark.parametrize("budget", [Budget(1, 1), Budget(2, 10), Budget(1, 10_000), Budget(2200, 4400)])
def test_as_many_sources_as_fit_never_fill_a_table(budget):
    assert fitting(budget) * (memory(budget) + 2) <= 1 << 20
    assert memory(budget) <= 60


def test_strangers_together_leave_half_of_the_connections_free():
    policy = policy_of(site(), node("edge-a", "10.231.0.2", (device("cube", 200),)))
    assert policy.flood == (1 << 20) // 2 // 30
    slow = firewall(budgets={"REGISTER": Budget(1, 10_000)})
    policy = policy_of(site(), node("edge-a", "10.231.0.2", (device("cube", 200),), firewall=slow))
    assert policy.flood == (1 << 20) // 62
