"""connection: local without a root directory, in namespaces so that the machine itself stays as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

OUTER = """
set -e
mount --make-rprivate /
mkdir $1/disk && mount -t tmpfs tmpfs $1/disk
for name in etc var; do
    mkdir $1/disk/$name $1/disk/$name.work
    mount -t overlay overlay /$name -o lowerdir=/$name,upperdir=$1/disk/$name,workdir=$1/disk/$name.work
done
mount -t tmpfs tmpfs /run
for tool in iptables ip6tables; do
    for end in '' -save -restore; do ln -sf /usr/sbin/$tool-legacy$end /etc/alternatives/$tool$end; done
done
ip link set lo up
shift
exec "$@"
"""
INNER = """
import json
from push_samples import connection, desired_of, options, site_of
from vosctl.compile.desired import File, Hook, Ruleset
from vosctl.push import api

rules = "*filter\\n:VOS-INPUT - [0:0]\\n-A VOS-INPUT -p udp -m udp --dport 5060 -j DROP\\nCOMMIT\\n"
site = site_of(edge_a=connection(kind="local"))
desired = {"edge-a": desired_of(
    File("/etc/vosctl/relay.json", b"{}\\n"),
    rulesets=(Ruleset(4, rules, (Hook("filter", "INPUT", "VOS-INPUT"),)),),
)}
first = api.apply_site(site, desired, options=options())["edge-a"]
second = api.apply_site(site, desired, options=options())["edge-a"]
facts = api.facts_site(site, options=options())["edge-a"]
print(json.dumps([first.status.value, str(first.error), second.status.value, dict(facts.report)]))
"""


@pytest.mark.netns
@pytest.mark.requires("iptables-legacy", "unshare")
def test_apply_and_facts_on_the_legacy_backend(tmp_path: Path):
    command = [
        "unshare",
        "--mount",
        "--net",
        "sh",
        "-c",
        OUTER,
        "sh",
        str(tmp_path),
        sys.executable,
        "-c",
        INNER,
    ]
    here = {"PYTHONPATH": str(Path(__file__).parent), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, env=here, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    first, error, second, facts = json.loads(done.stdout)
    assert (first, second) == ("changed", "ok"), error
    assert facts["iptables"]["backend"] == "legacy"
    (rule,) = facts["own_chains"]["4"]["filter"]["VOS-INPUT"]
    assert (rule["target"], rule["udp"], rule["packets"]) == ("DROP", {"dport": "5060"}, 0)
    assert not Path("/etc/vosctl/relay.json").exists()
