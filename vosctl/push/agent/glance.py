"""A glance instead of a look: an earlier answer to ``inspect`` holds while nothing moved that it was made from.

Most runs find nothing to do, and importing modules, asking iptables and comparing is most of what these cost. So the
agent keeps its last answer in /run, together with evidence of everything that the answer was read from: what lstat
says of files and folders, the values of settings, the generation of the kernel's rules (nf_tables counts every
commit, whoever made it), the members of sets that are not timed and the shape of those that are. The loader runs
``same`` alone, from the byte code kept beside the answer. Any doubt is a whole look.

Whatever runs here runs before the agent's other modules are there: this one imports nothing of them at its top.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vosctl.push.agent.state import State

RUN = "/run/vosctl"
PLACES = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/etc/alternatives/iptables",
            "/etc/alternatives/ip6tables", "/etc/os-release", "/etc/passwd", "/etc/group")  # fmt: skip
_COVERED = (
    "node",
    "revision",
    "packages",
    "accounts",
    "release",
    "files",
    "sets",
    "rulesets",
    "sysctls",
    "services",
)
_STATE = ("applied.json", "firewall.json", "pending.json", "lock")
_UNITS = ("/etc/systemd/system", "/etc/systemd/system/multi-user.target.wants", "/usr/lib/systemd/system",
          "/run/systemd/system")  # fmt: skip
_LEGACY = ("/proc/net/ip_tables_names", "/proc/net/ip6_tables_names")
_TICK_NS = 100_000_000
_TIMED = 6  # IPSET_ATTR_TIMEOUT


def place(key: str) -> str:
    """Return where the answer under ``key`` is kept: for this interpreter's byte code only."""
    return f"{RUN}/seen-{key}-{sys.hexversion:x}"


def same(kept: dict[str, Any]) -> bool:
    """Return whether nothing moved since the answer was kept."""
    try:
        return bool(evidence(kept["ask"]) == kept["evidence"])
    except (OSError, ValueError, IndexError):
        return False


def evidence(ask: dict[str, Any]) -> list[Any]:
    """Return what the answer rests on, as it is now, last the rules' generation; raises OSError where the kernel does not tell."""
    return [
        [_stat(path) for path in ask["paths"]],
        [_read(path) for path in ask["reads"]],
        [*os.uname(), os.readlink("/proc/self/ns/net")],
        _kernel() if ask["sets"] is None else [_kernel(), _sets(ask["sets"])],
    ]


def _stat(path: str) -> Any:
    try:
        s = os.lstat(path)
    except OSError:
        return None
    return [s.st_mode, s.st_dev, s.st_ino, s.st_uid, s.st_gid, s.st_size, s.st_mtime_ns, s.st_ctime_ns]


def _read(path: str) -> Any:
    try:
        with open(path, "rb", 0) as stream:
            return stream.read()
    except OSError:
        return None


def _netlink(kind: int, flags: int, payload: bytes) -> list[bytes]:
    """Return the payloads of the kernel's answers to one netfilter request (nfnetlink.h), without nfgenmsg."""
    import _socket  # noqa: PLC0415  a fraction of what importing socket costs

    length = 20 + len(payload)
    head = length.to_bytes(4, sys.byteorder) + kind.to_bytes(2, sys.byteorder)
    head += (1 | flags).to_bytes(2, sys.byteorder) + bytes(8)
    link = _socket.socket(16, 3, 12)  # AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER
    try:
        link.settimeout(2.0)
        link.bind((0, 0))
        link.send(head + bytes(4) + payload)
        found: list[bytes] = []
        while True:
            data = link.recv(1 << 17)
            while data:
                size = int.from_bytes(data[:4], sys.byteorder)
                answer = int.from_bytes(data[4:6], sys.byteorder)
                if size < 16 or answer == 2:  # NLMSG_ERROR
                    raise OSError("refused")
                if answer == 3:  # NLMSG_DONE
                    return found
                found.append(data[20:size])
                data = data[(size + 3) & ~3 :]
            if not flags:
                return found
    finally:
        link.close()


def _kernel() -> bytes:
    """Return the generation of the kernel's rules: NFT_MSG_GETGEN's first attribute."""
    return _netlink(10 << 8 | 16, 0, b"")[0][:8]


def _sets(timed: list[str]) -> Any:
    """Return all sets: of those in ``timed`` only what they are, as their members come and go."""
    protocol = (5).to_bytes(2, sys.byteorder) + (1).to_bytes(2, sys.byteorder) + b"\6\0\0\0"
    found: list[Any] = []
    for answer in _netlink(6 << 8 | 7, 0x300, protocol):  # IPSET_CMD_LIST, NLM_F_DUMP
        parts = dict(_attributes(answer))
        if parts.get(2, b"").rstrip(b"\0").decode() in timed:
            shape = dict(_attributes(parts.get(7, b"")))
            found.append([parts[2], parts.get(3), parts.get(5), shape.get(_TIMED), shape.get(19)])
        else:
            found.append(answer)
    return found


def _attributes(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while len(data) >= 4:
        size = int.from_bytes(data[:2], sys.byteorder)
        if size < 4:
            break
        found.append((int.from_bytes(data[2:4], sys.byteorder) & 0x3FFF, data[4:size]))
        data = data[(size + 3) & ~3 :]
    return found


def begin(state: State, wanted: dict[str, Any]) -> Any:
    """Return what ``keep`` needs of before the look, None where no evidence would do."""
    ask = _ask(state, wanted)
    if ask is None:
        return None
    try:
        return ask, evidence(ask)
    except (OSError, ValueError, IndexError):
        return None


def keep(key: str, begun: Any, answer: bytes) -> None:
    """Keep an answer under ``key`` if nothing moved while it was made; answers of earlier states go."""
    import marshal  # noqa: PLC0415
    import time  # noqa: PLC0415

    ask, before = begun
    path = place(key)
    try:
        # A file that was written in this very tick of the kernel's clock could be written again unnoticed.
        newest = max((each[-1] for each in before[0] if each), default=0)
        if time.time_ns() - newest < _TICK_NS or evidence(ask) != before:
            return
        for name in os.listdir(RUN):
            if name.startswith("seen-"):
                os.unlink(f"{RUN}/{name}")
        code = _code()
        data = marshal.dumps((code, {"ask": ask, "evidence": before, "answer": answer}))
        descriptor = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)
        if os.path.getsize(path + ".new") == len(data):
            os.replace(path + ".new", path)
    except (OSError, ValueError, IndexError):
        return


def _code() -> Any:
    loader = __spec__.loader
    return loader.get_code(__name__)  # type: ignore[union-attr]


def _ask(state: State, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """Return which files, settings and sets an answer for ``wanted`` rests on; None where others matter, too."""
    node = state.node
    if any(value for key, value in wanted.items() if key not in _COVERED):
        return None
    if not node.is_machine or os.geteuid() != 0 or any(_read(path) for path in _LEGACY):
        return None
    applied = state.applied()
    if any(applied.get(key) for key in ("users", "cron")):
        return None  # what the site has no more of is looked for, too
    paths = {*PLACES, *(applied.get("files") or ()), *(item["path"] for item in wanted["files"])}
    paths |= {node.state(name) for name in _STATE} | {node.run("loaded.json"), node.run("boot")}
    paths |= {"/opt/vosctl/current", "/opt/vosctl/current/.vosctl-release.json"}
    reads = []
    if wanted["packages"]:
        if not os.path.exists("/var/lib/dpkg/status"):
            return None
        paths.add("/var/lib/dpkg/status")
    for service in wanted["services"]:
        if not node.has_systemd:
            return None  # what runs there shows in no file
        name = service["name"]
        # systemd's own mark of a unit that is up; a new start makes it anew.
        paths |= {
            *_UNITS,
            f"/run/systemd/units/invocation:{name}.service",
            f"/etc/systemd/system/{name}.service",
        }
        paths.add(f"/etc/systemd/system/multi-user.target.wants/{name}.service")
    from vosctl.push.agent import sysctls  # noqa: PLC0415

    reads += [sysctls.place(item["key"]) for item in wanted["sysctls"]]
    timed = [item["name"] for item in wanted["sets"] if "timeout" in (item.get("options") or "")]
    sets = sorted(timed) if wanted["sets"] else None
    return {"paths": sorted(paths), "reads": [*reads, *_LEGACY], "sets": sets}
