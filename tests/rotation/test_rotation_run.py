"""Whole rotations of the example's trunks over two nodes with real relays: to the end, back, and stopped by a dead end."""

from __future__ import annotations

import fcntl
import json
import re

import pytest
from rotation_case import ENDS, OPTIONS, QUICK, SITE, At, Heard

from vosctl.errors import UsageError
from vosctl.rotation.ends import RotationError
from vosctl.rotation.run import resume, rotate
from vosctl.site.model import Encryption

OLD = ("ab-2026q4", ["ab-2026q4", "ab-2026q3"])


def test_a_rotation_leaves_one_new_key_everywhere(site):
    heard = Heard()
    (report,) = rotate(SITE, OPTIONS, ["ab"], wishes=QUICK, watchers=[heard])
    key, accept = site.said()
    assert accept == [key] == [report["new"]]
    assert key.startswith("ab-20")
    site.agrees()
    assert heard.words[:3] == ["stage begun", "stage written", "stage applied"]
    assert report["outcome"] == "rotated"
    assert [done["step"] for done in report["done"]] == ["stage", "activate", "wait", "retire"]
    assert report["done"][0]["nodes"] == dict.fromkeys(ENDS, "changed")
    assert not list(site.site.glob("rotations/*.json"))
    assert json.loads((site.site / "rotations/reports.jsonl").read_text()) == report
    secret = site.keys(ENDS[0])[key]
    assert re.fullmatch("[A-Za-z0-9]{16}", secret)
    assert secret not in json.dumps(report) + repr(heard.events)
    # Nothing else of the file moved, but for the two keys and the two lists that hold them.
    before, after = site.text.splitlines(), site.trunks.read_text().splitlines()
    changed = [line for line in before if line not in after]
    assert [line.split("#")[0].strip() for line in changed[:2]] == ["key: ab-2026q4", "accept: [ab-2026q3]"]
    assert len(changed) == 4
    assert len(after) == len(before) - 1


def test_an_end_that_is_gone_before_the_start_changes_nothing(site):
    site.cut_off("edge-b")
    with pytest.raises(RotationError, match="trunk ab is not rotated: edge-b: ") as caught:
        rotate(SITE, OPTIONS, ["ab"], wishes=QUICK)
    assert caught.value.exit_code == 4
    assert site.trunks.read_text() == site.text
    assert not (site.site / "rotations").exists()


@pytest.mark.parametrize("gone", ENDS)
def test_an_end_that_dies_before_the_key_is_staged_puts_the_other_back(site, gone):
    death = At("stage written", lambda: site.cut_off(gone))
    with pytest.raises(RotationError, match="the key could not be staged") as caught:
        rotate(SITE, OPTIONS, ["ab"], wishes=QUICK, watchers=[death])
    assert caught.value.exit_code == 6
    assert caught.value.hint == "both ends and all files are as they were"
    assert site.trunks.read_text() == site.text
    assert not (site.site / "rotations").exists()
    assert [site.held(end) for end in ENDS] == [OLD, OLD]
    site.reach(gone)
    site.agrees()


def test_an_end_that_refuses_the_key_puts_the_other_back(site):
    with (site.nodes / "edge-b/var/lib/vosctl/lock").open("r+") as lock:
        refusal = At("stage written", lambda: fcntl.flock(lock, fcntl.LOCK_EX))
        with pytest.raises(RotationError, match=r"edge-b: .*still runs") as caught:
            rotate(SITE, OPTIONS, ["ab"], wishes=QUICK, watchers=[refusal])
    assert caught.value.hint == "both ends and all files are as they were"
    assert site.trunks.read_text() == site.text
    site.agrees()


def test_an_end_that_dies_after_it_was_staged_is_looked_at_again_by_abort(site):
    death = At("stage applied", lambda: site.cut_off("edge-b"))
    with pytest.raises(RotationError, match="the key could not be staged") as caught:
        rotate(SITE, OPTIONS, ["ab"], wishes=QUICK, watchers=[death])
    assert caught.value.hint.startswith("edge-b may hold the new key, which nothing uses")
    assert site.trunks.read_text() == site.text
    assert site.held("edge-a") == OLD
    assert site.held("edge-b") != OLD
    site.reach("edge-b")
    (report,) = resume(SITE, OPTIONS, back=True, wishes=QUICK)
    assert report["outcome"] == "aborted"
    assert site.trunks.read_text() == site.text
    site.agrees()


@pytest.mark.parametrize(
    ("when", "back"), [("activate begun", False), ("activate applied", True), ("retire written", False)]
)
def test_an_end_that_dies_later_only_delays_the_rotation(site, when, back):
    death = At(when, lambda: site.cut_off("edge-b"))
    with pytest.raises(RotationError, match=r"stopped at its step '(activate|retire)'") as caught:
        rotate(SITE, OPTIONS, ["ab"], wishes=QUICK, watchers=[death])
    assert caught.value.exit_code in (4, 6)
    site.reach("edge-b")
    (report,) = resume(SITE, OPTIONS, wishes=QUICK, back=back)
    assert report["outcome"] == ("aborted" if back else "rotated")
    site.agrees()
    assert (site.trunks.read_text() == site.text) is back


def test_calls_on_the_old_key_keep_it_until_they_end(site):
    hang_up = site.call("long")
    heard = Heard()
    with pytest.raises(RotationError, match="1 call still on ab-2026q4, ab-2026q3") as caught:
        rotate(SITE, OPTIONS, ["ab"], wishes=QUICK, watchers=[heard])
    assert caught.value.exit_code == 2
    key, accept = site.said()
    assert accept == [key, "ab-2026q3", "ab-2026q4"]
    assert heard.events[-1].calls["edge-a"] == {"ab-2026q4": 1}
    newer = site.call("new")
    assert site.ask("edge-b", "keys")["trunks"]["ab"]["calls"] == {"ab-2026q4": 1, key: 1}
    hang_up()
    (report,) = resume(SITE, OPTIONS, wishes=QUICK)
    newer()
    assert report["done"][-1]["calls"] == {end: {key: 1} for end in ENDS}
    site.agrees()


def test_the_way_back_waits_for_calls_on_the_new_key(site):
    hung = []
    until = At("wait begun", lambda: hung.append(site.call("new")))
    stop = At("retire begun", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        rotate(SITE, OPTIONS, ["ab"], wishes=QUICK, watchers=[until, stop])
    with pytest.raises(RotationError, match="1 call still on ab-20"):
        resume(SITE, OPTIONS, wishes=QUICK, back=True)
    assert site.said()[0] == "ab-2026q4"
    hung[0]()
    (report,) = resume(SITE, OPTIONS, wishes=QUICK)  # an abort that was begun goes on going back
    assert report["outcome"] == "aborted"
    assert site.trunks.read_text() == site.text
    site.agrees()


def test_an_end_that_holds_another_key_is_not_rotated(site):
    site.ask("edge-b", "stage", trunk="ab", kid="foreign", value="ponmlkjihgfedcba")
    with pytest.raises(RotationError, match="edge-b: key foreign is still accepted"):
        rotate(SITE, OPTIONS, ["ab"], wishes=QUICK)
    site.ask("edge-b", "retire", trunk="ab", kid="foreign")


def test_other_changes_do_not_ship_with_a_rotation(site):
    site.trunks.write_text(site.text.replace("encryption: xor", "encryption: rc4"))
    with pytest.raises(RotationError, match="other changes are pending on edge-a"):
        rotate(SITE, OPTIONS, ["ab"], wishes=QUICK)


def test_two_runs_at_once_are_one_too_many(site):
    refused = []

    def second():
        with pytest.raises(UsageError, match=r"under way here, by tester@here since 20") as caught:
            rotate(SITE, OPTIONS, ["ab-metro"], wishes=QUICK)
        refused.append(caught)

    rotate(SITE, OPTIONS, ["ab"], wishes=QUICK, watchers=[At("activate begun", second)])
    assert refused


@pytest.mark.parametrize("back", [False, True])
def test_a_change_of_mode_is_a_rotation(site, back):
    stop = At("retire begun", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        rotate(SITE, OPTIONS, ["ab-metro"], wishes=QUICK, watchers=[stop], mode=Encryption.AES128)
    assert site.ask("edge-a", "keys")["trunks"]["ab-metro"]["mode"] == "aes128"
    (report,) = resume(SITE, OPTIONS, wishes=QUICK, back=back)
    site.agrees("ab-metro")
    mode = "xor" if back else "aes128"
    assert [site.ask(end, "keys")["trunks"]["ab-metro"]["mode"] for end in ENDS] == [mode, mode]
    assert (report["mode"], report["new_mode"]) == ("xor", "aes128")
    assert (site.trunks.read_text() == site.text) is back
