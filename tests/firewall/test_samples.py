"""What is told of dropped packets: a few of each reason, to whoever the site says."""

from __future__ import annotations

import subprocess
import time

import pytest
from packet_lab import NODE
from sip_messages import SCANS
from site_samples import firewall, gateway, node, site

from vosctl.compile.site import compile_site
from vosctl.site.filtering import Logging, LogTo
from vosctl.site.model import Auth

pytestmark = [pytest.mark.netns, pytest.mark.requires("iptables", "ip6tables", "ipset", "tcpdump")]


def compiled(log):
    made = node("edge-a", NODE[4], (gateway("cube", auth=Auth.PASSWORD),), firewall=firewall(log=log))
    return compile_site(site(made), release=None)["edge-a"]


@pytest.fixture
def heard(lab, tmp_path):
    """What a listener of netlink group 7 has written so far."""
    path = tmp_path / "heard"
    words = (
        "ip",
        "netns",
        "exec",
        lab.node,
        "tcpdump",
        "-q",
        "-U",
        "-Z",
        "root",
        "-i",
        "nflog:7",
        "-w",
        str(path),
    )
    listener = subprocess.Popen(words, stderr=subprocess.PIPE)
    try:
        assert any(b"listening" in line for line in listener.stderr)
        yield path.read_bytes
    finally:
        listener.terminate()
        listener.wait(10)
        listener.stderr.close()


@pytest.mark.parametrize("family", [4, 6])
def test_a_listener_hears_a_few_of_each_reason(lab, heard, family):
    lab.use(compiled(Logging(LogTo.NFLOG, 7, 6)))
    before = lab.counters(family)
    for _ in range(40):
        lab.send(family, SCANS["friendly-scanner"])
    lab.send(family, b"nobody listens", port=9)
    lab.delivered(family, lab.listener(family))
    deadline = time.monotonic() + 5
    while b"vos:unwanted" not in heard() and time.monotonic() < deadline:
        time.sleep(0.05)
    told = heard()
    assert 1 <= told.count(b"vos:signature") <= 4  # a burst of three, and a tenth of a second's worth
    assert told.count(b"vos:unwanted") == 1
    dropped = lab.counters(family)["VOS-DROP-SIGNATURE", "firewall.log: dropped: signature"]
    assert dropped - before.get(("VOS-DROP-SIGNATURE", "firewall.log: dropped: signature"), 0) == 40


@pytest.mark.parametrize("log", [Logging(LogTo.KERNEL, 0, 59), Logging(LogTo.NONE)])
def test_the_kernels_log_and_none_at_all_load_too(lab, log):
    desired = compiled(log)
    lab.use(desired)
    saved = lab.saved(4)
    assert ("-j LOG --log-prefix" in saved) is (log.to is LogTo.KERNEL)
    assert "NFLOG" not in saved
    assert lab.misses(4, 5060, SCANS["sipsak"])
