"""A bare Debian with sshd and python3 as a node: made by debootstrap, run on a fleet host's network and processes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from vosctl.fleet import Fleet

# Debian 12; VOSCTL_DEBIAN=trixie takes another one.
SUITE = os.environ.get("VOSCTL_DEBIAN", "bookworm")
MIRROR = "http://deb.debian.org/debian"
INCLUDED = ("python3", "openssh-server")
# What the packet filter's packages need is fetched beforehand: the node itself reaches nothing.
FETCHED = ("conntrack", "ipset", "iptables", "tcpdump")
SECONDS = 600
# Its own /proc, and nothing of the machine's in it that can be written but the network's settings.
BOOT = """
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$1/run"
mount -t proc proc "$1/proc"
mkdir "$1/run/.net" "$1/run/sshd"
mount --bind "$1/proc/sys/net" "$1/run/.net"
for each in proc/sys proc/sysrq-trigger; do
    [ -e "$1/$each" ] || continue
    mount --bind "$1/$each" "$1/$each"
    mount -o remount,bind,ro "$1/$each"
done
mount --move "$1/run/.net" "$1/proc/sys/net"
rmdir "$1/run/.net"
mount -t sysfs -o ro sysfs "$1/sys"
exec chroot "$1" /usr/sbin/sshd -D -e
"""


def cache() -> Path:
    """Where the fresh system is kept between runs, as a tar archive; it takes a minute to make."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vosctl-tests"
    return folder / f"{SUITE}-{'-'.join((*INCLUDED, *FETCHED))}.tar"


def unpack(folder: Path) -> Path:
    """Return a fresh system in ``folder``, as debootstrap leaves it."""
    root = folder / "root"
    kept = cache()
    if not kept.exists():
        try:
            _make(root)
        except AssertionError as error:
            pytest.skip(f"no bare Debian is to be had: {error}")
        kept.parent.mkdir(parents=True, exist_ok=True)
        fresh = kept.with_suffix(f".{os.getpid()}")
        run("tar", "--numeric-owner", "-C", root, "-cf", fresh, ".")
        fresh.replace(kept)
        return root
    root.mkdir(mode=0o755)
    run("tar", "--numeric-owner", "-C", root, "-xpf", kept)
    return root


def _make(root: Path) -> None:
    run("debootstrap", "--variant=minbase", f"--include={','.join(INCLUDED)}", SUITE, root, MIRROR)
    install = ("apt-get", "-q", "install", "-y", "--download-only", "--no-install-recommends")
    run("chroot", root, *install, *FETCHED)


def run(*words: object) -> str:
    """Run a program and return what it said; fail with its last words."""
    done = subprocess.run(
        list(map(str, words)), check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=SECONDS, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )  # fmt: skip
    assert done.returncode == 0, f"{words[0]}: {done.stdout[-2000:]}"
    return done.stdout


def boot(fleet: Fleet, name: str, root: Path) -> subprocess.Popen[bytes]:
    """Let root log into ``root`` by the fleet's key, and start its sshd on the network of the host ``name``."""
    authorized = root / "root/.ssh/authorized_keys"
    authorized.parent.mkdir(mode=0o700, exist_ok=True)
    authorized.write_text(run("ssh-keygen", "-y", "-f", fleet.private_key))
    inside = ("nsenter", "-t", str(fleet.pid(name)), "-u", "-n", "-p", "--")
    words = (*inside, "unshare", "--mount", "sh", "-c", BOOT, "sh", str(root))
    with (root.parent / "sshd.log").open("wb") as log:
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def known_host(root: Path, address: str) -> str:
    """Return the line of known_hosts that a person would have compared at the machine's console."""
    kind, key = (root / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2]
    return f"{address} {kind} {key}\n"
