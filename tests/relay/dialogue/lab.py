"""Three namespaces, caller – proxy – callee: Kamailio with docs/relay.md's configuration, the relay, and sipp."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from capture import Flow, flows
from endpoint import time_of_day
from scenario import Callee, Caller

from vosctl.relay import admin
from vosctl.relay.paths import RelayPaths

ROOT = Path(__file__).resolve().parents[3]
CALLER, CALLEE = "10.233.0.2", "10.234.0.2"
AT_CALLER, AT_CALLEE = "10.233.0.1", "10.234.0.1"
CALLEE6, AT_CALLEE6 = "fd00:234::2", "fd00:234::1"
CALLER_SOUND, CALLEE_SOUNDS = 0x11, (0x22, 0x33)


def run(*words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=60, check=False)
    assert not check or done.returncode == 0, f"{words}: {done.stderr}"
    return done


def configuration() -> str:
    """The kamailio.cfg of docs/relay.md."""
    text = (ROOT / "docs/relay.md").read_text()
    found = re.search(r"<!-- kamailio.cfg -->\n```\n(.*?)\n```", text, re.DOTALL)
    assert found, "docs/relay.md has no kamailio.cfg"
    return found.group(1) + "\n"


class Message(NamedTuple):
    """A SIP message that a sipp sent or received, and the time of day."""

    time: float
    sent: bool
    text: str


class Played(NamedTuple):
    """What was on the caller's and the callee's wire, and the messages of each sipp, by side."""

    at_caller: dict[tuple[str, int, str, int], Flow]
    at_callee: dict[tuple[str, int, str, int], Flow]
    messages: dict[str, list[Message]]

    def heard(self, host: str) -> list[Flow]:
        """What came from the relay to ``host``, a flow for each stream."""
        wire = self.at_caller if host == CALLER else self.at_callee
        return [flow for (_, _, to, _), flow in wire.items() if to == host]

    def spoken(self, host: str) -> list[Flow]:
        """What went from ``host`` to the relay."""
        wire = self.at_caller if host == CALLER else self.at_callee
        return [flow for (near, _, _, _), flow in wire.items() if near == host]

    def sdp(self, side: str) -> list[str]:
        """The session descriptions that ``side`` received, in order."""
        bodies = (found.text.partition("\n\n")[2] for found in self.messages[side] if not found.sent)
        return [body for body in bodies if body.strip()]


class Lab:
    """Everything that runs, in ``folder``; ``close`` ends it and takes the namespaces away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tag = f"vosd{os.getpid()}"
        self.caller, self.proxy, self.callee = (f"{self.tag}{letter}" for letter in "cps")
        self.processes: list[subprocess.Popen] = []
        self.kamailio: subprocess.Popen | None = None
        self._count = 0
        self._network()
        self.paths = self._relay("relay", 2223, (20000, 29999))

    def _relay(self, name: str, ng: int, ports: tuple[int, int]) -> RelayPaths:
        """Start a relay whose NG port is ``ng``."""
        keys = self.folder / f"{name}-keys.json"
        keys.write_text('{"version": 1, "keys": {}}')
        keys.chmod(0o600)
        paths = RelayPaths(self.folder / f"{name}.json", keys, self.folder / f"{name}-run")
        config = {
            "version": 1, "node": "edge", "ng": ["127.0.0.1", ng], "ports": ports, "dscp": 46, "rtp_timeout": 30,
            "gateways": {}, "trunks": {}, "recordings": str(self.folder / "recordings"),
            "addresses": [AT_CALLEE, AT_CALLEE6],
        }  # fmt: skip
        paths.config.write_text(json.dumps(config))
        self.start(
            self.proxy, sys.executable, "-m", "vosctl.relay", "supervise", "--foreground",
            "--config", paths.config, "--keys", paths.keys, "--run", paths.run, name=name,
        )  # fmt: skip
        return paths

    @contextmanager
    def second_relay(self) -> Iterator[RelayPaths]:
        """Another relay on the proxy's machine, at port 2224, while the block lasts."""
        paths = self._relay("second", 2224, (10000, 10999))
        process = self.processes[-1]
        try:
            self.until(paths.control_socket.exists)
            yield paths
        finally:
            self.end(process)

    def configure(self, **fields: object) -> None:
        """Have the relay reload with these fields of its configuration."""
        config = json.loads(self.paths.config.read_text())
        self.paths.config.write_text(json.dumps({**config, **fields}))
        assert self.ask("reload") == {"ok": True}

    def _network(self) -> None:
        for name in (self.caller, self.proxy, self.callee):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        for far, link, near, other in (
            (self.caller, "to_caller", (AT_CALLER,), (CALLER,)),
            (self.callee, "to_callee", (AT_CALLEE, AT_CALLEE6), (CALLEE, CALLEE6)),
        ):
            run("ip", "-n", self.proxy, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", far)  # fmt: skip
            for name, dev, hosts in ((self.proxy, link, near), (far, "eth0", other)):
                for host in hosts:
                    mask = ("/64", "nodad") if ":" in host else ("/24",)
                    run("ip", "-n", name, "address", "add", host + mask[0], "dev", dev, *mask[1:])
                run("ip", "-n", name, "link", "set", dev, "up")
            run("ip", "-n", far, "route", "add", "default", "via", near[0])

    def start(self, namespace: str, *words: object, name: str) -> subprocess.Popen:
        """Start a program in a namespace, its output in ``name``.log."""
        log = (self.folder / f"{name}.log").open("ab")
        process = subprocess.Popen(
            ["nice", "-n", "-10", "nsenter", f"--net=/run/netns/{namespace}", *map(str, words)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, start_new_session=True,
        )  # fmt: skip
        log.close()
        self.processes.append(process)
        return process

    def proxy_up(self, *, out: str = AT_CALLEE, **names: str) -> None:
        """Start Kamailio with these names defined, its second interface at ``out``; an earlier one ends."""
        if self.kamailio is not None:
            self.end(self.kamailio)
        config = self.folder / "kamailio.cfg"
        config.write_text(configuration())
        defined = [word for name, value in names.items() for word in ("-A", f"{name}={value}")]
        self.kamailio = self.start(
            self.proxy, "kamailio", "-f", config, "-DD", "-E", "-m", "64", "-Y", self.folder,
            "-P", self.folder / "kamailio.pid", "-A", f"LISTEN=udp:{AT_CALLER}:5060",
            "-A", f"LISTEN_OUT=udp:{out}:5060", *defined,
            name="kamailio",
        )  # fmt: skip
        self.until(lambda: ":5060 " in self.listening(self.proxy))

    @staticmethod
    def listening(space: str) -> str:
        return run("nsenter", f"--net=/run/netns/{space}", "ss", "-lun").stdout

    def until(self, condition, seconds: float = 20.0):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"not within {seconds} s\n{self.logs()}")

    def ask(self, command: str, paths: RelayPaths | None = None) -> dict:
        return admin.ask((paths or self.paths).control_socket, command)

    def logs(self) -> str:
        return "\n".join(
            f"== {p.name}\n{p.read_text(errors='replace')[-3000:]}" for p in sorted(self.folder.glob("*.log"))
        )

    def end(self, process: subprocess.Popen) -> None:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)
        self.processes.remove(process)

    def close(self) -> None:
        for process in list(reversed(self.processes)):
            self.end(process)
        for name in (self.caller, self.proxy, self.callee):
            run("ip", "netns", "delete", name, check=False)

    def played(
        self,
        caller: Caller,
        *callees: Callee,
        calls: int = 1,
        rate: int = 50,
        callee6: bool = False,
        during=lambda: None,
    ) -> Played:
        """Play the scenarios against each other, ``calls`` times; every call must end as they say."""
        self._count += 1
        name = f"t{self._count}"
        for sound, file in (
            (CALLER_SOUND, "caller.pcma"),
            *zip(CALLEE_SOUNDS, ("callee.pcma", "fork.pcma"), strict=True),
        ):
            (self.folder / file).write_bytes(bytes([sound]) * 16000)
        captures = [
            self._capture(space, f"{name}-{space[-1]}", busy=calls > 10)
            for space in (self.caller, self.callee)
        ]
        host = CALLEE6 if callee6 else CALLEE
        common = (
            "-m",
            calls,
            "-nostdin",
            "-trace_msg",
            "-trace_err",
            "-rtp_threadtasks",
            50,
            "-timeout",
            120,
        )
        sides = []
        for at, callee in enumerate(callees):
            file = self._scenario(f"{name}-callee{at}", callee.text)
            port = 5060 + 10 * at
            sides.append(
                self.start(
                    self.callee, "sipp", "-sf", file, "-i", host, "-p", port, "-mi", host, "-mp", 30000 + 1000 * at,
                    *common, name=file.stem,
                )
            )  # fmt: skip
            self.until(lambda port=port: f":{port} " in self.listening(self.callee))
        file = self._scenario(f"{name}-caller", caller.text)
        sides.append(
            self.start(
                self.caller, "sipp", "-sf", file, "-i", CALLER, "-mi", CALLER, "-mp", 30000, "-r", rate, "-l", calls,
                *common, AT_CALLER, name=file.stem,
            )
        )  # fmt: skip
        during()
        for side in reversed(sides):
            assert side.wait(140) == 0, self.logs()
            self.processes.remove(side)
        time.sleep(1.5 if calls > 10 else 0.3)  # the last packets are on their way into the files
        for capture in captures:
            self.end(capture)
        return Played(
            flows(self.folder / f"{name}-c.pcap"),
            flows(self.folder / f"{name}-s.pcap"),
            {p.stem.removeprefix(f"{name}-"): _messages(p) for p in self._logs(name)},
        )

    def alone(self, caller: Caller) -> list[str]:
        """Play a caller's scenario that goes as it says; return the status lines that came."""
        file = self._scenario(f"alone{self._count}-caller", caller.text)
        side = self.start(
            self.caller, "sipp", "-sf", file, "-i", CALLER, "-p", 5070, "-m", 1, "-nostdin", "-trace_msg",
            "-timeout", 20, AT_CALLER, name=file.stem,
        )  # fmt: skip
        assert side.wait(30) == 0, self.logs()
        self.processes.remove(side)
        (path,) = self._logs(file.stem.partition("-")[0])
        return [found.text.partition("\n")[0] for found in _messages(path) if not found.sent]

    def _logs(self, name: str) -> list[Path]:
        return [
            p.rename(p.with_name(p.name.rpartition("_messages")[0].rpartition("_")[0] + ".msg"))
            for p in self.folder.glob(f"{name}-*_messages.log")
        ]

    def _scenario(self, name: str, text: str) -> Path:
        path = self.folder / f"{name}.xml"
        path.write_text(text)
        return path

    def _capture(self, space: str, name: str, *, busy: bool) -> subprocess.Popen:
        path = self.folder / f"{name}.pcap"
        capture = self.start(
            space, "tcpdump", "-i", "eth0", "-w", path, "-U", "-Z", "root", "-B", "65536", "-s", "96", *(() if busy else ("--immediate-mode",)), "udp",
            name=name,
        )  # fmt: skip
        self.until(lambda: path.exists() and path.stat().st_size >= 24)
        return capture


def _messages(path: Path) -> list[Message]:
    """What sipp sent and got, in order, from its message log."""
    _, *parts = re.split(r"^-{10,}[ \t]*(.*)\n", path.read_text(errors="replace"), flags=re.MULTILINE)
    return [
        Message(
            time_of_day(when.strip()),
            "message sent" in text[:80],
            text.partition("\n\n")[2].replace("\r\n", "\n"),
        )
        for when, text in zip(parts[::2], parts[1::2], strict=True)
    ]
