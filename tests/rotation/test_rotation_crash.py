"""A controller that is killed between two steps, or between the two ends, leaves what --resume or --abort ends."""

from __future__ import annotations

import pytest
from rotation_case import OPTIONS, QUICK, SITE, killed

from vosctl.errors import UsageError
from vosctl.rotation.run import resume, rotate

# The events of a rotation, nodes' included: 1 stage begun, 2 written, 3 and 4 the ends, 5 applied, 6 verified, 7 done;
# 8 to 14 activate; 15 to 17 wait; 18 retire begun, 19 written, 20 and 21 the ends, 22 applied, 23 verified, 24 keys
# taken out, 25 done, 26 ended.


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 10, 18])
def test_resume_ends_what_a_killed_controller_began(site, at):
    assert killed(at)
    with pytest.raises(UsageError, match=r"begun by tester@here at .* stands at its step '"):
        rotate(SITE, OPTIONS, ["ab"], wishes=QUICK)
    (report,) = resume(SITE, OPTIONS, wishes=QUICK)
    site.agrees()
    assert report["outcome"] == "rotated"
    assert site.said() == (report["new"], [report["new"]])


@pytest.mark.slow
@pytest.mark.parametrize("at", [3, 11, 20])
def test_abort_takes_back_what_a_killed_controller_began(site, at):
    assert killed(at)
    (report,) = resume(SITE, OPTIONS, wishes=QUICK, back=True)
    site.agrees()
    assert report["outcome"] == "aborted"
    assert site.trunks.read_text() == site.text


@pytest.mark.slow
def test_without_the_old_key_there_is_no_way_back_but_one_forward(site):
    assert killed(24)
    with pytest.raises(UsageError, match="ab-2026q4, ab-2026q3 is taken out already"):
        resume(SITE, OPTIONS, wishes=QUICK, back=True)
    (report,) = resume(SITE, OPTIONS, wishes=QUICK)
    site.agrees()
    assert report["outcome"] == "rotated"
