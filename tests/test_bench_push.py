"""The push benches' job is what it claims to be, and two hosts come to it with vosctl."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _benches(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def test_the_peers_get_the_same_bytes(tmp_path):
    from bench import push_site  # noqa: PLC0415

    node = push_site.desired(push_site.write(tmp_path, push_site.hosts(2)))
    files = push_site.files(node)
    assert set(files) == set(push_site.LOAD)
    for ruleset in node.rulesets:
        assert ruleset.text in files[push_site.FILTER]
    other = push_site.files(push_site.desired(push_site.write(tmp_path, push_site.hosts(2), version=1)))
    assert [path for path in files if files[path] != other[path]] == [push_site.FILTER]


@pytest.mark.netns
def test_two_hosts_come_to_the_job_and_are_reset():
    from bench.push_bed import bed  # noqa: PLC0415
    from bench.push_tools import Vosctl  # noqa: PLC0415

    with bed(2) as made:
        tool = Vosctl(made)
        tool.prepare(0)
        run = tool.apply()
        assert run.wall > 0 and run.cpu > 0 and run.memory > 0 and run.node > 0
        made.check()
        made.reset()
        with pytest.raises(RuntimeError, match="does not hold the job's rules"):
            made.check()
