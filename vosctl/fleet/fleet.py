"""A fleet: hosts on a bridge of their own that can be logged into, looked into, killed and rebooted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, final

from vosctl.errors import HostError, VosctlError
from vosctl.fleet import kernel, keys, state
from vosctl.fleet.launch import PATH
from vosctl.fleet.state import DISKS, HostSpec, Process

NETWORK = "10.231.0.0/16"
CONTROLLER = "10.231.255.1"
BRIDGE = "br0"
_ENVIRONMENT = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/root"}
_SSH_PORT = 22
_LISTEN = "0A"

Made = TypeVar("Made")


@final
class Fleet:
    """Hosts that are up; made by ``Fleet.up`` or found again by ``Fleet.attach``.

    As a context manager it takes itself down at the end. ``controller`` is the name of the network
    namespace that reaches the hosts; ``private_key``, ``known_hosts`` and ``ssh_config`` are the files
    to reach them with.
    """

    def __init__(self, directory: Path, description: dict[str, Any]) -> None:
        self.directory = directory
        self.controller: str = description["controller"]
        self.hosts = {host["name"]: HostSpec(**host) for host in description["hosts"]}
        self._interface = IPv4Interface(description["interface"])
        self._host_keys: dict[str, str] = description["host_keys"]
        self.private_key = directory / keys.PRIVATE_KEY
        self.known_hosts = directory / keys.KNOWN_HOSTS
        self.ssh_config = directory / keys.SSH_CONFIG

    @classmethod
    def up(
        cls,
        hosts: Sequence[HostSpec],
        directory: Path,
        *,
        network: str = NETWORK,
        controller: str = CONTROLLER,
        keep: bool = False,
    ) -> Fleet:
        """Make the hosts and return when every sshd listens; an earlier fleet in ``directory`` goes first.

        Needs root. ``keep`` lets the fleet outlive this process. Raises VosctlError where the hosts do
        not fit the network, HostError where one does not start; then nothing is left behind.
        """
        _check(hosts, IPv4Network(network))
        directory = directory.resolve()
        clean(directory)
        shutil.rmtree(directory / "hosts", ignore_errors=True)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        name: str | None = None
        try:
            name = state.claim(directory, keep=keep)
            fleet = cls(directory, _describe(name, hosts, f"{controller}/{IPv4Network(network).prefixlen}"))
            fleet._build()
        except BaseException:
            name = name or state.named(directory)  # claimed, and interrupted before it was told
            if name is not None:
                with suppress(VosctlError):  # what went wrong first is what to tell
                    state.dismantle(name, directory)
            raise
        return fleet

    @classmethod
    def attach(cls, directory: Path) -> Fleet:
        """Return the fleet that is up in ``directory``; raises VosctlError where none is."""
        directory = directory.resolve()
        try:
            return cls(directory, state.load(directory))
        except FileNotFoundError:
            raise VosctlError(f"no fleet is up in {directory}", hint="start one: vosctl demo up") from None

    def down(self) -> None:
        """Kill every process of the fleet and remove what `up` made; the log files stay."""
        state.dismantle(self.controller, self.directory)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def exec(
        self,
        name: str,
        argv: Sequence[str],
        *,
        input: str | None = None,  # noqa: A002  subprocess's own word
        timeout: float = 60,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a host and return its result; raises HostError where it fails (with ``check``)."""
        try:
            result = subprocess.run(
                self.host_argv(name, argv), input=input, stdin=None if input is not None else subprocess.DEVNULL,
                capture_output=True, text=True, timeout=timeout, check=False, env=_ENVIRONMENT,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise HostError(name, f"{argv[0]} took longer than {timeout:g} s") from None
        if check and result.returncode != 0:
            said = (result.stderr or result.stdout).strip()
            raise HostError(name, f"{' '.join(argv)} ended with {result.returncode}: {said}")
        return result

    def popen(self, name: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a command on a host, in a session of its own: end it with ``stop``. Options as Popen's."""
        options.setdefault("env", _ENVIRONMENT)
        return subprocess.Popen(self.host_argv(name, argv), start_new_session=True, **options)

    @staticmethod
    def stop(process: subprocess.Popen[Any], *, number: int = signal.SIGTERM, seconds: float = 5) -> int:
        """Signal what ``popen`` started, kill it after ``seconds``, and return its exit status."""
        for attempt in (number, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, attempt)
            with suppress(subprocess.TimeoutExpired):
                return process.wait(seconds)
        raise TimeoutError(f"process {process.pid} does not die")

    def host_argv(self, name: str, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs ``argv`` on a host: all its namespaces, root's home."""
        return ["nsenter", "-t", str(self.pid(name)), "-m", "-u", "-n", "-p", "--", *argv]

    def controller_argv(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs ``argv`` where the hosts can be reached."""
        return ["ip", "netns", "exec", self.controller, *argv]

    def kill(self, name: str) -> None:
        """Let a host drop dead: all its processes are killed, its files stay for ``reboot``."""
        self._process(name).kill()
        # Its cable goes with its network namespace, but only when the kernel gets to it.
        self._controller_ip(f"link del {self.port(name)}", check=False)

    def reboot(self, name: str) -> None:
        """Kill a host and start it again: /etc, /opt, /root, /usr and /var stay, the rest is as new."""
        with suppress(HostError):
            self.kill(name)
        self._launch((self.hosts[name],))

    def pid(self, name: str) -> int:
        """Return the host's init process as this machine numbers it; raises HostError for a dead host."""
        process = self._process(name)
        if not process.alive():
            raise HostError(name, "the host is down", hint="reboot it")
        return process.pid

    def root(self, name: str) -> Path:
        """Return where this machine sees the host's file system."""
        return Path(f"/proc/{self.pid(name)}/root")

    def inside(self, name: str | None, make: Callable[[], Made]) -> Made:
        """Call ``make`` on a host's network (None: the controller's) and return its result.

        Only the network is the host's. A socket made there stays there, whoever uses it later.
        """
        path = Path("/run/netns", self.controller) if name is None else Path(f"/proc/{self.pid(name)}/ns/net")

        def enter() -> Made:
            with path.open("rb") as namespace:
                kernel.setns(namespace.fileno(), kernel.CLONE_NEWNET)
            return make()

        # A thread's namespace is its own: the pool's only thread ends without ever coming back.
        with ThreadPoolExecutor(max_workers=1) as pool:
            return pool.submit(enter).result()

    def socket(self, name: str | None, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """Return a socket that lives on a host's network (None: the controller's)."""
        return self.inside(name, lambda: socket.socket(family, kind, protocol))

    def port(self, name: str) -> str:
        """Return the controller's end of the cable to a host: the interface to capture on."""
        return f"p{list(self.hosts).index(name)}"

    def log(self, name: str) -> str:
        """Return what the host's sshd has said."""
        return (self._host_directory(name) / "log").read_text(encoding="utf-8", errors="replace")

    def _build(self) -> None:
        disks = self.directory / DISKS
        disks.mkdir(mode=0o700, exist_ok=True)
        # In memory: an overlay's upper layer cannot lie on another overlay, as a container's root is.
        kernel.mount("fleet", str(disks), "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=700")
        keys.write_user_key(self.directory)
        public = {name: key.split("\n\n")[1] for name, key in self._host_keys.items()}
        keys.write_client_files(self.directory, self.hosts.values(), public)
        subprocess.run(("ip", "netns", "add", self.controller), check=True, capture_output=True)
        self._controller_ip(
            "link set lo up",
            # A MAC of its own: else a bridge takes the lowest of its ports', and changes it when hosts come and go.
            f"link add {BRIDGE} address 02:00:00:00:00:01 type bridge forward_delay 0 mcast_snooping 0",
            f"addr add {self._interface} dev {BRIDGE}", f"link set {BRIDGE} up",
        )  # fmt: skip
        self._launch(tuple(self.hosts.values()))
        state.save(self.directory, self._description())

    def _description(self) -> dict[str, Any]:
        hosts = [asdict(host) for host in self.hosts.values()]
        interface = str(self._interface)
        keep = {"host_keys": self._host_keys, "interface": interface}
        return {"controller": self.controller, "hosts": hosts, **keep}

    def _launch(self, hosts: Sequence[HostSpec]) -> None:
        orders = [self._order(host) for host in hosts]
        said, complained = _start(json.dumps({"hosts": orders}))
        answers = [json.loads(line) for line in said.splitlines()]
        for answer in answers:
            if "error" in answer:
                raise HostError(answer["name"], f"did not start: {answer['error']}")
        if len(answers) < len(hosts):
            raise VosctlError(f"the fleet did not start: {complained.strip()}")
        self._controller_ip(*(f"link set {self.port(host.name)} master {BRIDGE} up" for host in hosts))
        for host in hosts:
            if host.sshd:
                self._await_sshd(host.name)

    def _order(self, host: HostSpec) -> dict[str, Any]:
        directory = self._host_directory(host.name)
        disk = self.directory / DISKS / host.name
        for path in (directory, disk):
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
        names = "".join(f"{other.address} {other.name}\n" for other in self.hosts.values())
        public = (self.directory / keys.PRIVATE_KEY).with_suffix(".pub").read_text(encoding="ascii")
        return asdict(host) | {
            "authorized_key": public, "controller": self.controller, "disk": str(disk),
            "host_key": self._host_keys[host.name].split("\n\n")[0] + "\n",
            "hosts": f"127.0.0.1 localhost\n::1 localhost\n{names}", "log": str(directory / "log"),
            "port": self.port(host.name), "record": str(directory / "process"), "prefix": self._interface.network.prefixlen,
        }  # fmt: skip

    def _await_sshd(self, name: str, *, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not _listens(self.pid(name), _SSH_PORT):
            if time.monotonic() > deadline:
                raise HostError(name, f"its sshd does not listen: {self.log(name).strip()}")
            time.sleep(0.01)

    def _controller_ip(self, *commands: str, check: bool = True) -> None:
        result = subprocess.run(
            ("ip", "-n", self.controller, "-batch", "-"), input="\n".join(commands),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if check and result.returncode != 0:
            raise VosctlError(f"ip in {self.controller}: {result.stderr.strip()}")

    def _process(self, name: str) -> Process:
        if name not in self.hosts:
            raise VosctlError(f"the fleet has no host {name!r}", hint=f"it has {', '.join(self.hosts)}")
        try:
            return Process.recorded(self._host_directory(name) / "process")
        except FileNotFoundError:
            raise HostError(name, "the host is down", hint="reboot it") from None

    def _host_directory(self, name: str) -> Path:
        return self.directory / "hosts" / name


def clean(directory: Path) -> None:
    """Remove the fleet of ``directory``, if any, and every fleet whose owner died without doing so."""
    if os.geteuid() != 0:
        return  # hosts are root's, and so is what is left of them
    found = state.named(directory.resolve())
    if found is not None:
        state.dismantle(found, directory.resolve())
    for name, path in state.orphans():
        with suppress(VosctlError):  # nobody here can end what their owner left hanging
            state.dismantle(name, path)


def _start(orders: str) -> tuple[str, str]:
    launcher = subprocess.Popen(
        (sys.executable, "-m", "vosctl.fleet.launch"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    with launcher:
        try:
            return launcher.communicate(orders)
        except BaseException:
            # Nobody listens any more: it ends after the host at hand, which it has put on record.
            for stream in (launcher.stdin, launcher.stdout):
                with suppress(OSError):
                    stream.close()  # type: ignore[union-attr]
            launcher.wait()
            raise


def _describe(name: str, hosts: Sequence[HostSpec], interface: str) -> dict[str, Any]:
    host_keys = {host.name: "\n".join(keys.generate(host.name)) for host in hosts}
    described = [asdict(host) for host in hosts]
    return {"controller": name, "hosts": described, "host_keys": host_keys, "interface": interface}


def _check(hosts: Sequence[HostSpec], network: IPv4Network) -> None:
    for kind in ("name", "address"):
        values = [getattr(host, kind) for host in hosts]
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise VosctlError(f"two hosts of the fleet have the {kind} {twice[0]}")
    for host in hosts:
        if IPv4Interface(host.address).ip not in network:
            raise VosctlError(f"{host.name}: {host.address} is not in the fleet's network {network}")


def _listens(pid: int, port: int) -> bool:
    suffix = f":{port:04X}"
    lines = Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return any(fields[1].endswith(suffix) and fields[3] == _LISTEN for fields in map(str.split, lines))
