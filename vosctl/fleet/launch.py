"""Starts hosts: forks one process a host into namespaces of its own, dresses it up and makes it an init.

Runs as a program of its own (``python3 -m vosctl.fleet.launch``), because forking is only safe and quick
in a process without threads. Takes one JSON object on standard input: ``{"hosts": [...]}`` with the objects
that ``vosctl.fleet.fleet`` writes; prints one JSON object a host, ``{"name", "pid"}`` or
``{"name", "error"}``.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from vosctl.fleet import kernel
from vosctl.fleet.state import Process

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OVERLAID = ("etc", "opt", "usr", "var")
TMPFS = (("/run", "mode=755,size=64m"), ("/tmp", "mode=1777,size=64m"), ("/dev/shm", "mode=1777,size=16m"))  # noqa: S108
ALTERNATIVES = tuple(f"ip{six}tables{end}" for six in ("", "6") for end in ("", "-save", "-restore"))

# sh stays as PID 1 because its wait also reaps the orphans that every init inherits.
INIT = '[ -z "$1" ] || /usr/sbin/sshd -D -e -f "$1" & sleep infinity & wait'
SSHD_CONFIG = "/etc/ssh/fleet/sshd_config"
SSHD = """\
Port 22
HostKey /etc/ssh/fleet/host_key
AuthorizedKeysFile /etc/ssh/fleet/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
MaxStartups 200
PidFile /run/sshd.pid
Subsystem sftp internal-sftp
"""

Host = dict[str, Any]


def main() -> int:
    """Start every host of standard input; return 1 when one failed."""
    hosts: list[Host] = json.load(sys.stdin)["hosts"]
    failed = 0
    for host in hosts:
        answer = start(host)
        failed |= "error" in answer
        print(json.dumps({"name": host["name"], **answer}), flush=True)  # noqa: T201  its protocol
    return failed


def start(host: Host) -> dict[str, Any]:
    """Start one host and return its init's pid, or the error that stopped it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _enter(host, writer)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as stream:
        said = stream.read().splitlines()
    os.waitpid(child, 0)
    if said and said[0].isdigit():
        with suppress(ProcessLookupError):
            Process.of(int(said[0])).record(Path(host["record"]))
    if len(said) == 1 and said[0].isdigit():
        return {"pid": int(said[0])}
    return {"error": said[-1] if said else "died before it had namespaces"}


def _enter(host: Host, writer: int) -> NoReturn:
    # Only a child lives in a new PID namespace: this process stays outside, and tells the init's pid
    # as the outside sees it. The pipe closes at the init's exec, which is how success shows.
    try:
        os.setsid()
        log = os.open(host["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        kernel.unshare(kernel.CLONE_NEWNET | kernel.CLONE_NEWNS | kernel.CLONE_NEWUTS)
        _network(host)
        kernel.unshare(kernel.CLONE_NEWPID)  # last: the next child is the init
        child = os.fork()
        if child == 0:
            _become_init(host, writer, log)
        os.write(writer, f"{child}\n".encode())
    except (OSError, subprocess.SubprocessError) as error:
        os.write(writer, f"{_reason(error)}\n".encode())
    os._exit(0)


def _network(host: Host) -> None:
    commands = (
        "link set lo up",
        f"link add eth0 address {_mac(host['address'])} type veth peer name {host['port']} netns {host['controller']}",
        f"addr add {host['address']}/{host['prefix']} dev eth0",
        "link set eth0 up",
    )
    subprocess.run(
        ("ip", "-batch", "-"), input="\n".join(commands), text=True, check=True, capture_output=True
    )


def _mac(address: str) -> str:
    """Return the MAC of a host: its address's, so that neighbours find it again after a reboot."""
    return ":".join(("02", "00", *(f"{byte:02x}" for byte in socket.inet_aton(address))))


def _become_init(host: Host, writer: int, log: int) -> NoReturn:
    try:
        _dress(host)
        config = SSHD_CONFIG if host["sshd"] else ""
        null = os.open(os.devnull, os.O_RDONLY)
        for descriptor, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(descriptor, target)
        environment = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/root"}
        os.execve("/bin/sh", (f"init of {host['name']}", "-c", INIT, host["controller"], config), environment)  # noqa: S606
    except OSError as error:
        os.write(writer, f"{_reason(error)}\n".encode())
    os._exit(1)


def _dress(host: Host) -> None:
    kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    # Relative paths below: the overlays may hide the way to the disk.
    os.chdir(host["disk"])
    for name in OVERLAID:
        upper, work = Path(f"{name}.upper"), Path(f"{name}.work")
        upper.mkdir(exist_ok=True)
        work.mkdir(exist_ok=True)
        options = f"lowerdir=/{name},upperdir={upper},workdir={work}"
        kernel.mount("overlay", f"/{name}", "overlay", 0, options)
    Path("root").mkdir(mode=0o700, exist_ok=True)
    kernel.mount("root", "/root", flags=kernel.MS_BIND)
    for target, options in TMPFS:
        if Path(target).is_dir():
            kernel.mount("tmpfs", target, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)
    os.chdir("/")
    _guard_kernel()
    socket.sethostname(host["name"])
    Path("/etc/hostname").write_text(host["name"] + "\n", encoding="utf-8")
    Path("/etc/hosts").write_text(host["hosts"], encoding="utf-8")
    Path("/run/lock").mkdir()
    if host["iptables"]:
        _choose_iptables(host["iptables"])
    if host["sshd"]:
        _write_sshd(host)


def _guard_kernel() -> None:
    # A host may tune its own net.*; everything else under /proc/sys and /sys is the machine's.
    safe = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("proc", "/proc", "proc", safe)
    held = Path("/run/.net")
    held.mkdir()
    kernel.mount("/proc/sys/net", str(held), flags=kernel.MS_BIND)
    for target in ("/proc/sys", "/proc/sysrq-trigger"):
        if Path(target).exists():
            kernel.mount(target, target, flags=kernel.MS_BIND)
            kernel.mount("", target, flags=kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY | safe)
    kernel.mount(str(held), "/proc/sys/net", flags=kernel.MS_MOVE)
    held.rmdir()
    kernel.mount("sysfs", "/sys", "sysfs", safe | kernel.MS_RDONLY)


def _choose_iptables(backend: str) -> None:
    for name in ALTERNATIVES:
        six, end = ("6" if "6" in name else ""), name.partition("tables")[2]
        program = Path(f"/usr/sbin/ip{six}tables-{backend}{end}")
        if not program.exists():
            raise FileNotFoundError(
                2, f"{program} is missing: the {backend} backend of iptables is not installed"
            )
        link = Path("/etc/alternatives", name)
        link.unlink(missing_ok=True)
        link.symlink_to(program)


def _write_sshd(host: Host) -> None:
    folder = Path(SSHD_CONFIG).parent
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o755, parents=True)
    for name, text, mode in (
        ("host_key", host["host_key"], 0o600),
        ("authorized_keys", host["authorized_key"], 0o644),
        ("sshd_config", SSHD, 0o644),
    ):
        path = folder / name
        path.touch(mode=mode)
        path.write_text(text, encoding="utf-8")
    Path("/run/sshd").mkdir(mode=0o755)


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"{error.cmd[0]}: {error.stderr.strip()}".replace("\n", "; ")
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
