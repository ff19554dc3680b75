"""A node where systemd runs: the real one, as PID 1 of namespaces that keep it from the machine."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from agent_client import Target, wait_until

SYSTEMD = Path("/usr/lib/systemd/systemd")
# No unit of the machine's is in reach, /proc/sys is read-only, /dev and the cgroup are its own.
BOOT = """
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/lock /run/host/units /run/host/generators /run/dev
mount -t tmpfs -o mode=755 dev /run/dev
for n in null zero full random urandom tty; do touch /run/dev/$n; mount --bind /dev/$n /run/dev/$n; done
mkdir /run/dev/shm /run/dev/pts
ln -s /proc/self/fd /run/dev/fd
ln -s pts/ptmx /run/dev/ptmx
mount --move /run/dev /dev
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,ro,bind /proc/sys
umount -R /sys/fs/cgroup
mount -t sysfs -o ro sysfs /sys
mount -t cgroup2 cgroup /sys/fs/cgroup
for t in basic sysinit shutdown umount final slices sockets timers paths multi-user local-fs network-pre; do
  printf '[Unit]\\nDescription=%s\\n' $t >/run/host/units/$t.target
done
ln -s basic.target /run/host/units/default.target
mount --bind /run/host/units /usr/lib/systemd/system
mount --bind /run/host/generators /usr/lib/systemd/system-generators
for d in etc var opt; do
  mkdir /run/host/$d /run/host/$d.work
  mount -t overlay overlay /$d -o lowerdir=/$d,upperdir=/run/host/$d,workdir=/run/host/$d.work
done
rm -rf /etc/systemd/system/* /var/lib/vosctl
export container=vosctl
exec /usr/lib/systemd/systemd --system --log-target=null
"""


def cgroups() -> Path | None:
    """Where cgroups of version 2 are mounted."""
    for line in Path("/proc/mounts").read_text().splitlines():
        words = line.split()
        if words[2] == "cgroup2" and os.access(words[1], os.W_OK):
            return Path(words[1])
    return None


MARKS = [
    pytest.mark.netns,
    pytest.mark.skipif(not SYSTEMD.exists(), reason="needs systemd installed"),
    pytest.mark.skipif(cgroups() is None, reason="needs cgroups of version 2"),
]


class Booted(Target):
    """A node that systemd booted."""

    def __init__(self, pid: int) -> None:
        super().__init__(
            argv=lambda argv: ["nsenter", "-t", str(pid), "-n", "-m", "-u", "-i", "-C", "-p", "--", *argv]
        )
        self.pid = pid

    def run(self, script: str, *, check: bool = True) -> str:
        result = subprocess.run(
            self.argv(["sh", "-c", script]), capture_output=True, text=True, check=False, timeout=60
        )
        assert result.returncode == 0 or not check, result.stderr
        return result.stdout.strip()

    def path(self, path: str) -> Path:
        return Path(f"/proc/{self.pid}/root{path}")


@contextmanager
def boot() -> Iterator[Booted]:
    """Boot systemd; it ends with the block, and all that it started."""
    group = cgroups() / f"vosctl-test-{os.getpid()}"
    group.mkdir()
    outer = subprocess.Popen(
        ["sh", "-c", f'echo $$ >{group}/cgroup.procs; exec unshare -n -m -u -i -C -p -f sh -c "$0"', BOOT],
        stderr=subprocess.PIPE,
    )
    inner = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
    try:
        assert wait_until(lambda: bool(inner.read_text().split()))
        found = Booted(int(inner.read_text().split()[0]))
        ready = ["systemctl", "is-system-running"]
        assert wait_until(
            lambda: (
                "running"
                in subprocess.run(found.argv(ready), capture_output=True, text=True, check=False).stdout
            )
        )
        yield found
    finally:
        for child in inner.read_text().split() if inner.exists() else ():
            os.kill(int(child), signal.SIGKILL)
        outer.wait(20)
        outer.stderr.close()
        for folder, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):
                os.rmdir(folder)  # noqa: PTH106  a cgroup
