"""A site on directories, what it says and what its nodes hold, and rotations of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from vosctl.cli.main import cli
from vosctl.cli.screen import Wish
from vosctl.demo import sdp
from vosctl.demo.stage import program
from vosctl.push.event import HostFinished
from vosctl.push.options import PushOptions
from vosctl.relay import admin
from vosctl.relay.ng import NgClient
from vosctl.relay.paths import RelayPaths
from vosctl.rotation.events import Told, Wishes
from vosctl.site.read import SiteOptions, read_site

TRUNKS = "inventory/group_vars/all/trunks.yml"
ENDS = ("edge-a", "edge-b")
OPTIONS = PushOptions(
    holder="tester@here",
    home=Path("/nonexistent"),
    agent=False,
    system_ssh=False,
    confirm_window=20.0,
    connect_timeout=3.0,
)
QUICK = Wishes(wait=5.0, watch=0.0, patience=0.0, pause=0.05)
SITE = SiteOptions()


@dataclass
class Ground:
    """The site's folder and that of its nodes; ``text`` is what its file of trunks began as."""

    site: Path
    nodes: Path
    text: str = field(init=False)

    def __post_init__(self) -> None:
        self.text = self.trunks.read_text()

    @property
    def trunks(self) -> Path:
        return self.site / TRUNKS

    def reset(self) -> None:
        self.trunks.write_text(self.text)
        for end in ENDS:
            self.reach(end)
        shutil.rmtree(self.site / "rotations", ignore_errors=True)
        # In this very process, which has imported it all: between tests, the command itself is not what is tested.
        applied = CliRunner().invoke(cli, ["apply"], obj=Wish())
        assert applied.exit_code == 0, applied.output

    def vosctl(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (program(), *words),
            cwd=self.site,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
            **more,
        )

    def ask(self, end: str, command: str, **fields: Any) -> dict[str, Any]:
        return admin.ask(RelayPaths().below(self.nodes / end).control_socket, command, **fields)

    def held(self, end: str, trunk: str = "ab") -> tuple[str, list[str]]:
        """Return what a node's relay uses for new calls, and what it accepts."""
        found = self.ask(end, "keys")["trunks"][trunk]
        return found["key"], found["accept"]

    def keys(self, end: str) -> dict[str, str]:
        found = json.loads((self.nodes / end / "etc/vosctl/relay-keys.json").read_bytes())
        keys: dict[str, str] = found["keys"]
        return keys

    def said(self, trunk: str = "ab") -> tuple[str, list[str]]:
        """Return what the site's files say of a trunk."""
        found, problems = read_site(SITE)
        problems.raise_errors()
        made = found.nodes["edge-a"].trunks[trunk]
        return made.key.name, [key.name for key in made.accept]

    def cut_off(self, end: str) -> None:
        """Let nobody reach a node any more, from now on."""
        path = self._here(end)
        found = json.loads(path.read_text())
        # Nobody there, or an sshd that nobody knows; the relay's address is written by itself.
        found.update(connection="ssh", host="127.77.0.1")
        del found["root"]
        path.write_text(json.dumps(found) + "\n")

    def reach(self, end: str) -> None:
        path = self._here(end)
        found = json.loads(path.read_text())
        address = found["relay"]["addresses"][0]
        found.update(connection="local", host=address, root=str(self.nodes / end))
        path.write_text(json.dumps(found) + "\n")

    def _here(self, end: str) -> Path:
        return self.site / "inventory/host_vars" / end / "zz-here.yml"

    def call(self, name: str, trunk: str = "ab") -> Callable[[], None]:
        """Set a call up from acme to orbit over a trunk, and return what hangs it up."""
        config = {end: json.loads((self.nodes / end / "etc/vosctl/relay.json").read_bytes()) for end in ENDS}
        first, second = (NgClient(tuple(config[end]["ng"])) for end in ENDS)
        phone, here = "10.231.0.10", config["edge-a"]["addresses"][0]
        inward = {"vos_from": "acme", "vos_to": trunk}
        outward = {"vos_from": trunk, "vos_to": "orbit"}
        offer = first.offer(name, "a", sdp.phone(phone, 4000), received_from=["IP4", phone], **inward)
        second.offer(name, "a", offer, received_from=["IP4", here], **outward)
        answer = sdp.phone("10.231.0.11", 4002)
        answer = second.answer(name, "a", "b", answer, received_from=["IP4", "10.231.0.11"], **outward)
        there = config["edge-b"]["addresses"][0]
        first.answer(name, "a", "b", answer, received_from=["IP4", there], **inward)

        def hang_up() -> None:
            for relay in (first, second):
                relay.delete(name, "a", to_tag="b")
                relay.close()

        return hang_up

    def agrees(self, trunk: str = "ab") -> None:
        """Check that the files and both nodes say the same, values included."""
        said = self.said(trunk)
        found, _ = read_site(SITE)
        values = {key.name: key.value.reveal() for key in found.nodes["edge-a"].trunks[trunk].accept}
        for end in ENDS:
            assert self.held(end, trunk) == said
            keys = self.keys(end)
            assert {kid: keys[kid] for kid in said[1]} == values


@dataclass
class Heard:
    """Remembers what a rotation tells."""

    events: list[Told] = field(default_factory=list)

    def told(self, event: Told) -> None:
        self.events.append(event)

    @property
    def words(self) -> list[str]:
        return [f"{event.step.value} {event.what}" for event in self.events]


@dataclass
class At:
    """Does something once, when a rotation tells ``words``."""

    words: str
    do: Callable[[], object]

    def told(self, event: Told) -> None:
        if f"{event.step.value} {event.what}" == self.words:
            self.words = ""
            self.do()


class Killer:
    """Ends its process, as the kernel would, at the event that has this number; events of nodes count, too."""

    def __init__(self, at: int) -> None:
        self._left = at

    def told(self, _event: object) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def handle(self, event: object) -> None:
        if isinstance(event, HostFinished):
            self.told(event)


def killed(at: int) -> int:
    """Rotate ab in another process that is killed at event ``at``, and return how that process ended."""
    code = f"from vosctl.rotation.run import rotate; from rotation_case import *; k = Killer({at}); "
    code += "rotate(SITE, OPTIONS, ['ab'], wishes=QUICK, watchers=[k], processors=[k])"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        (sys.executable, "-c", code), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode
