"""The relay as the compiler wants it on a node, what its processes may do there, and a call through it."""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from agent_client import PYTHON, Target, Wanted

from vosctl.compile.relay import ACCOUNT
from vosctl.compile.text import render
from vosctl.relay.release import build_release

UNIT = "/etc/systemd/system/vosctl-relay.service"
FILES = 10_000
NG = ("127.0.0.1", 2223)
COLLECTOR = "/var/lib/prometheus/node-exporter"
RECORDINGS = "/var/lib/vosctl-relay/recordings"
_PHONES = Path(__file__).parents[2] / "relay/relay_calls.py"


@cache
def archive() -> bytes:
    return build_release().archive


def rebuilt(change: Callable[[str, bytes], bytes]) -> bytes:
    """The release with each file's content as ``change`` returns it for the file's name and content."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive())) as old,
        tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as new,
    ):
        for member in old:
            data = change(member.name, old.extractfile(member).read())
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    return gzip.compress(out.getvalue(), 1, mtime=0)


def wanted(*, files: int = FILES, other: bool = False, unit: bool = True, **change: Any) -> Wanted:
    """A node with the relay; ``other``: of another release, with the same program in it."""
    config = {
        "version": 1, "node": "n", "addresses": ["127.0.0.1"], "ng": list(NG), "ports": [30000, 30100], "dscp": 46,
        "rtp_timeout": 30, "ptime": 20, "gateways": {}, "trunks": {}, "recordings": RECORDINGS,
        "alerts": {"loss": 0, "jitter": 0, "latency": 0, "interval": 1},
        "metrics": {"listen": None, "textfile": f"{COLLECTOR}/vosctl.prom"}, **change,
    }  # fmt: skip
    found = Wanted().file("/etc/vosctl/relay.json", json.dumps(config).encode(), reload="vosctl-relay")
    found.file(
        "/etc/vosctl/relay-keys.json", b'{"version":1,"keys":{}}',
        mode=0o600, owner=ACCOUNT, group=ACCOUNT, secret=True, reload="vosctl-relay",
    )  # fmt: skip
    if unit:
        found.file(
            UNIT,
            render(
                "relay/vosctl-relay.service.j2",
                calls=100,
                files=files,
                account=ACCOUNT,
                kernel_path=change.get("kernel_path", False),
            ),
        )
    found.accounts.append(ACCOUNT)
    found.releases(archive() + b"\0" * 512 * other)
    command = ["/opt/vosctl/current/bin/vosctl-relay", "supervise", "--user", ACCOUNT]
    return found.service("vosctl-relay", supervise=command, pidfile="/run/vosctl-relay/supervisor.pid")


def pids(node: Target) -> dict[str, int]:
    """The relay's processes, by their ids on the node itself."""
    status = node.ask("status")["relay"]
    supervisor = int(node.path("/run/vosctl-relay/supervisor.pid").read_text())
    return {"supervisor": supervisor, "control": status["pid"], "media": status["media"]["pid"]}


def powers(text: str) -> dict[str, Any]:
    """What a process is and may do, of its /proc/PID/status."""
    fields = dict(re.findall(r"^(\w+):\t(.*)$", text, re.MULTILINE))
    return {
        "users": set(fields["Uid"].split()),
        "groups": set(fields["Gid"].split()) | set(fields["Groups"].split()),
        "capabilities": {
            int(fields[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
        },
        "no new privileges": fields["NoNewPrivs"],
        "filter": fields["Seccomp"],
    }


# A call whose packets go both ways; what the relay says of it comes last.
CALL = """
import json, sys, threading, time
from relay_calls import Phone, _speak, g711
from vosctl.relay.ng import NgClient
count, record = int(sys.argv[1]), sys.argv[2] == "record"
with Phone() as caller, Phone() as callee, NgClient((sys.argv[3], int(sys.argv[4]))) as client:
    to_callee = client.offer("c", "f", caller.sdp())
    to_caller = client.answer("c", "f", "t", callee.sdp())
    if record:
        client.request("start recording", **{"call-id": "c"})
    sent = g711(count, seed=1), g711(count, seed=2)
    print("speaks", flush=True)
    work = [
        threading.Thread(target=_speak, args=(caller, sent[0], to_caller, 0.01)),
        threading.Thread(target=_speak, args=(callee, sent[1], to_callee, 0.01)),
        threading.Thread(target=callee.drain, args=(count,)),
        threading.Thread(target=caller.drain, args=(count,)),
    ]
    [each.start() for each in work]
    [each.join() for each in work]
    assert (callee.got, caller.got) == sent, (len(callee.got), len(caller.got))
    print(json.dumps(client.delete("c", "f")["totals"]["RTP"]))
"""


class Talk:
    """A call on the node, of two telephones that speak for a while; every packet must arrive as it was sent."""

    def __init__(self, node: Target, count: int, *, record: bool = False) -> None:
        self._count = count
        # The checkout may lie where the node sees nothing: its release and a copy of the telephones serve.
        node.path(f"/run/{_PHONES.name}").write_bytes(_PHONES.read_bytes())
        words = [PYTHON, "-c", CALL, str(count), "record" if record else "", *map(str, NG)]
        self._process = subprocess.Popen(
            node.argv(["env", "PYTHONPATH=/opt/vosctl/current/lib:/run", *words]),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Talk:
        if self._process.stdout.readline() != "speaks\n":
            raise AssertionError(self._process.communicate(timeout=30)[1])
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            out, err = self._process.communicate(timeout=60)
        finally:
            self._process.kill()
        if kind is None:
            assert self._process.returncode == 0, err
            assert json.loads(out)["packets"] == 2 * self._count
