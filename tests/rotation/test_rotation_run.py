"""Whole rotations of the example's trunk over two nodes with real relays: to the end, back, and stopped by a dead end."""

from __future__ import annotations

import json

from rotation_case import ENDS, OPTIONS, QUICK, SITE, Heard

from vosctl.rotation.run import rotate


def test_a_rotation_leaves_one_new_key_everywhere(site):
    heard = Heard()
    (report,) = rotate(SITE, OPTIONS, ["ab"], wishes=QUICK, watchers=[heard])
    key, accept = site.said()
    assert accept == [key]
    assert key.startswith("ab-20")
    site.agrees()
    text = site.trunks.read_text()
    assert "ab-2026q4" not in text.replace("aes128 takes", "")
    assert "metro-1: {value: f3Nq8RzT1yUv6KjWc0BmXp7L}" in text
    assert report["outcome"] == "rotated"
    assert [done["step"] for done in report["done"]] == ["stage", "activate", "wait", "retire"]
    assert not list(site.site.glob("rotations/*.json"))
    assert json.loads((site.site / "rotations/reports.jsonl").read_text()) == report
    secret = site.keys(ENDS[0])[key]
    assert len(secret) == 16
    assert secret not in json.dumps(report) + repr(heard.events)
