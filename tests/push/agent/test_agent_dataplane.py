"""A release whose data plane does not load on the node: compiled there, or said to be missing, and made good later."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
from agent_client import PYTHON, Machine, Wanted
from relay_node import ACCOUNT, NG, Talk, pids, rebuilt, wanted

pytestmark = pytest.mark.netns

COMPILERS = "/usr/bin/cc /usr/bin/gcc /usr/bin/clang"
HIDE = f"for each in {COMPILERS}; do [ ! -e $each ] || mv $each $each.away; done"
SHOW = f"for each in {COMPILERS}; do [ ! -e $each.away ] || mv $each.away $each; done"
_MACHINE = 18  # e_machine, after e_ident and e_type (elf(5))
_S390 = b"\x16\x00"
OFFER = f"""
from vosctl.relay.ng import NgClient
with NgClient({NG!r}) as client:
    sdp = "v=0\\r\\no=- 1 1 IN IP4 127.0.0.1\\r\\ns=-\\r\\nc=IN IP4 127.0.0.1\\r\\nt=0 0\\r\\nm=audio 4000 RTP/AVP 8\\r\\n"
    words = dict(call_id="c", from_tag="f", sdp=sdp)
    for more in (dict(supports=["load limit"]), dict()):
        reply = client.request("offer", **words, **more)
        print(reply["result"], reply.get("message") or reply.get("error-reason"))
"""


@cache
def foreign(note: bytes = b"") -> bytes:
    """The release as it comes from a controller of another architecture; ``note`` changes its signalling part."""

    def changed(name: str, data: bytes) -> bytes:
        if name.endswith(".so"):
            return data[:_MACHINE] + _S390 + data[_MACHINE + 2 :]
        return data + note if name.endswith("control/daemon.py") else data

    return rebuilt(changed)


def wish(note: bytes = b"") -> Wanted:
    return wanted().releases(foreign(note))


@pytest.fixture
def node(nft: Machine) -> Iterator[Machine]:
    """A node without systemd."""
    nft.run("ip link set lo up")
    yield nft
    nft.run(SHOW)
    nft.run("/opt/vosctl/current/bin/vosctl-relay stop || true")
    nft.run(f"userdel {ACCOUNT}; groupdel {ACCOUNT}; rm -rf /var/lib/vosctl-relay; true")


def test_it_is_compiled_on_the_node_and_calls_go_on_to_the_next_release(node: Machine) -> None:
    assert "missing" not in node.settle(wish())
    assert node.settle(wish())["changed"] == []
    before = pids(node)
    with Talk(node, 300):
        later = wish(b"\n# another release\n")
        later.services[0]["drain"] = 20
        node.settle(later)
        assert pids(node)["media"] == before["media"]
        assert pids(node)["control"] != before["control"]


def test_without_a_compiler_the_rest_runs_and_says_what_is_missing(node: Machine) -> None:
    node.run(HIDE)
    assert node.ask("facts")["facts"]["can"]["compile"][0] is False
    why = node.settle(wish())["missing"]
    assert why.startswith("no data plane for ")
    assert "no C compiler: install gcc" in why
    status = node.ask("status")["relay"]
    assert (status["media"]["up"], status["media"]["missing"]) == (False, why)
    assert node.inspect(wish())["release"]["missing"] == why
    words = ["env", "PYTHONPATH=/opt/vosctl/current/lib", PYTHON, "-c", OFFER]
    said = node.fleet.exec(node.name, words).stdout.splitlines()
    assert said[0] == "load limit the media process is not running"
    assert said[1].startswith("error ")
    # A reload still works, and nothing else is to be done as long as there is no compiler.
    node.settle(wanted(dscp=34).releases(foreign()))
    assert node.settle(wanted(dscp=34).releases(foreign()))["changed"] == []
    health = node.ask("health", checks=[{"check": "relay", "within": 0.2}])["answers"][0]
    assert not health["ok"]
    assert "takes no calls: no data plane" in health["why"]

    node.run(SHOW)
    assert "service vosctl-relay upgrade" in node.settle(wanted(dscp=34).releases(foreign()))["changed"]
    assert "missing" not in node.ask("status")["relay"]["media"]
    assert "missing" not in node.inspect(wish())["release"]
    with Talk(node, 50):
        pass
