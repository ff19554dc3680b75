"""What the errors gate makes of a relay's counters."""

from __future__ import annotations

from decimal import Decimal

import pytest

from vosctl.push.gates import too_many
from vosctl.site.rollout import Check, Gate


@pytest.mark.parametrize(
    ("counted", "said"),
    [
        ({}, []),
        ({"lost": 50, "expected": 99}, []),
        ({"lost": 1, "expected": 100}, []),
        ({"lost": 3, "expected": 200}, ["3 of 200 packets were lost in 15 s, 1 per cent may be"]),
        ({"refused": 9, "offered": 9}, []),
        ({"refused": 1, "offered": 10}, ["1 of 10 new calls were refused in 15 s, 1 per cent may be"]),
        ({"mismatches": 1}, ["1 streams look as if their key were wrong"]),
    ],
)
def test_shares(counted: dict[str, int], said: list[str]) -> None:
    assert list(too_many(counted, Gate(Check.ERRORS))) == said


def test_none_at_all_may_be_lost() -> None:
    gate = Gate(Check.ERRORS, 5, loss=Decimal(0), refused=Decimal(100))
    counted = {"lost": 1, "expected": 100_000, "refused": 50, "offered": 50}
    assert list(too_many(counted, gate)) == ["1 of 100000 packets were lost in 5 s, 0 per cent may be"]
