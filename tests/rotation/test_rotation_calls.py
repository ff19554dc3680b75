"""The proof: calls without end over two trunks, rotations of their keys one after the other, ends that die between steps.

Every byte of every packet is checked. By default it takes about two minutes; VOSCTL_ROTATION_SECONDS=300 has it
rotate for five, and VOSCTL_ROTATION_EVERY=20 begins a rotation every 20 s at most.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from rotation_case import At, Heard

from vosctl.demo import hosts
from vosctl.demo.stage import change, copy_site, program
from vosctl.errors import RelayError
from vosctl.fleet import Fleet
from vosctl.push.options import PushOptions
from vosctl.relay import admin
from vosctl.relay.control.keyring import fingerprint
from vosctl.rotation.ends import RotationError
from vosctl.rotation.events import Wishes
from vosctl.rotation.run import resume, rotate
from vosctl.secret import Secret
from vosctl.site.model import Encryption
from vosctl.site.read import SiteOptions, read_site
from vosctl.vault.keys import Keys, using

CALLS = 300
SECONDS = float(os.environ.get("VOSCTL_ROTATION_SECONDS", "0"))
EVERY = float(os.environ.get("VOSCTL_ROTATION_EVERY", "0"))
pytestmark = [
    pytest.mark.netns, pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(300 + SECONDS),
]  # fmt: skip
SALT = "0123456789abcdef" * 2
PASSWORD = "four words drawn here"
SITE = SiteOptions(playbook=Path("playbooks/site.yml"))
WISHES = Wishes(wait=40.0, watch=1.0, patience=0.0, pause=0.3)
PATIENT = Wishes(wait=40.0, watch=1.0, patience=40.0, pause=0.3)
# Where an end dies: before, between and in the midst of steps. True: the rotation is then taken back.
DEATHS = (
    ("stage begun", False), ("stage written", False), ("stage done", False), ("activate written", False),
    ("activate done", True), ("wait done", False), ("retire written", False),
)  # fmt: skip


class Site:
    """The example site on its two edges, its keys in the vault; the edges' relays carry the crowd."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.fleet, self.folder = fleet, folder
        self.reports: list[dict] = []
        self.options = PushOptions(
            holder="tester@here", user="root", private_key=fleet.private_key, known_hosts=fleet.known_hosts,
            ssh_config=fleet.ssh_config, connect_timeout=5.0, confirm_window=20.0, tries=1,
        )  # fmt: skip
        self.keys = Keys(passwords=lambda: (Secret(PASSWORD),))

    def vosctl(self, *words: str) -> str:
        env = ("env", *hosts.settings(self.fleet), f"VOSCTL_VAULT_PASSWORD_FILE={self.folder / 'password'}")
        done = subprocess.run(
            self.fleet.controller_argv((*env, program(), *words)),
            cwd=self.folder, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def inside(self, function, *args, **kwargs):
        """Call a function where the edges can be reached, with the vault's password at hand."""

        def call():
            with using(self.keys):
                return function(SITE, self.options, *args, **kwargs)

        return self.fleet.inside(None, call)

    def rotate(self, *trunks: str, **more) -> None:
        self.reports += self.inside(rotate, trunks, **{"wishes": WISHES, **more})

    def resume(self, *, back: bool = False) -> None:
        self.reports += self.inside(resume, wishes=WISHES, back=back)

    def die(self, edge: str) -> None:
        """Nobody reaches the edge any more, and its control process dies; its media must go on."""
        self.fleet.exec(edge, ["pkill", "-KILL", "-x", "sshd"], check=False)
        status = admin.ask(self.socket(edge), "status")
        self.fleet.exec(edge, ["kill", "-9", str(status["pid"])])
        self.killed = status["pid"]

    def live(self, edge: str) -> None:
        self.fleet.exec(edge, ["/usr/sbin/sshd", "-f", "/etc/ssh/fleet/sshd_config"])
        until = time.monotonic() + 20
        while not self.fleet.exec(edge, ["ss", "-Hltn", "sport = :22"]).stdout:
            assert time.monotonic() < until
            time.sleep(0.05)
        while self._control(edge) in {0, self.killed}:
            assert time.monotonic() < until
            time.sleep(0.05)

    def _control(self, edge: str) -> int:
        try:
            return int(admin.ask(self.socket(edge), "status")["pid"])
        except RelayError:  # between two lives
            return 0

    def socket(self, edge: str) -> Path:
        return self.fleet.root(edge) / "run/vosctl-relay/control.sock"

    def agrees(self) -> None:
        """Check that the vault, both edges and the last reports say the same."""
        with using(self.keys):
            found, problems = read_site(SITE)
        problems.raise_errors()
        for trunk in found.nodes["edge-a"].trunks.values():
            wanted = {key.name: fingerprint(SALT, key.name, key.value.reveal()) for key in trunk.accept}
            for edge in hosts.EDGES:
                held = admin.ask(self.socket(edge), "keys", salt=SALT)["trunks"][trunk.name]
                assert held["fingerprints"] == wanted
                assert (held["mode"], held["key"]) == (trunk.encryption.value, trunk.key.name)
            last = [each for each in self.reports if each["trunk"] == trunk.name][-1]
            assert trunk.key.name == last["new" if last["outcome"] == "rotated" else "old"]
        assert not list((self.folder / "rotations").glob("*.json"))
        kept = (self.folder / "rotations/reports.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in kept][-len(self.reports) :] == self.reports


@pytest.fixture
def site(tmp_path, monkeypatch):
    fleet = Fleet.up(hosts.HOSTS[:4], tmp_path / "fleet")
    try:
        folder = copy_site(tmp_path / "site")
        change(
            folder / "inventory/host_vars/edge-a.yml",
            "    tier: medium\n",
            "    tier: premium\n    media: {jitter: satellite}\n",
        )
        change(folder / "inventory/host_vars/edge-b.yml", "    tier: premium\n    codecs: [PCMA, PCMU, G729]\n    rate_group: orbit\n",
               "    tier: premium\n    codecs: [PCMA, PCMU, G729]\n    rate_group: orbit\n    media: {jitter: satellite}\n")  # fmt: skip
        (folder / "password").write_text(PASSWORD + "\n")
        (folder / "password").chmod(0o600)
        monkeypatch.chdir(folder)
        made = Site(fleet, folder)
        made.vosctl("vault", "init", "--cost", "10", "--new-password-file", "password")
        made.vosctl("vault", "encrypt", "inventory/group_vars/all/trunks.yml")
        made.vosctl("apply", "playbooks/site.yml")
        yield made
    finally:
        fleet.down()


@contextmanager
def crowd(site: Site):
    """Let calls talk meanwhile; yields a list that holds what became of them afterwards."""
    result: list[dict] = []
    argv = (
        sys.executable,
        str(Path(__file__).with_name("traffic.py")),
        str(site.fleet.directory),
        str(CALLS),
    )
    talking = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 40
        while admin.ask(site.socket("edge-a"), "status")["calls"] < CALLS * 0.95:
            assert time.monotonic() < until, "the calls do not come up"
            assert talking.poll() is None
            time.sleep(0.2)
        try:
            yield result
        finally:  # what became of the calls explains a failure, too
            said, _ = talking.communicate(timeout=60)
            result.append(json.loads(said))
            print(f"\n{CALLS} calls at once: {said}")
    finally:
        talking.kill()
        talking.wait()


def test_rotations_under_calls_with_ends_that_die(site):
    began = time.monotonic()
    with crowd(site) as result:
        site.rotate("ab", "ab-metro")
        site.rotate("ab-metro", mode=Encryption.AES128)
        for number, (words, back) in enumerate(DEATHS):
            edge, trunk = hosts.EDGES[number % 2], ("ab", "ab-metro")[number // 2 % 2]
            death = At(words, lambda edge=edge: site.die(edge))
            with pytest.raises(RotationError):
                site.rotate(trunk, watchers=[death])
            site.live(edge)
            if words.startswith("stage") and words != "stage done":
                if list((site.folder / "rotations").glob("*.json")):
                    site.resume(back=True)
            else:
                site.resume(back=back)
            site.agrees()
        while time.monotonic() - began < SECONDS:
            next_ = time.monotonic() + EVERY
            site.rotate("ab", "ab-metro")
            time.sleep(max(0.0, min(next_, began + SECONDS) - time.monotonic()))
        site.agrees()
        mismatches = [admin.ask(site.socket(edge), "status")["totals"]["mismatches"] for edge in hosts.EDGES]
    (found,) = result
    print(f"{len(site.reports)} rotations in {time.monotonic() - began:.0f} s")
    assert (found.get("garbled", 0), found["lost"], found["failures"]) == (0, 0, []), found
    assert mismatches == [0, 0]
    assert found["calls"] > 5 * CALLS
    used = {kid.split()[-1] for kid in found["kids"]}
    assert {each["new"] for each in site.reports if each["outcome"] == "rotated"} <= used
    heard = Heard()
    site.rotate("ab", watchers=[heard])
    assert heard.words[-1] == "retire ended"


def test_how_long_the_ends_differ_in_the_key_of_new_calls(site):
    """Peers that signal nothing feel this time, and no others: between the two activations, over SSH, idle."""
    spans: list[float] = []
    for _ in range(2):
        seen: dict[str, list[tuple[float, str]]] = {edge: [] for edge in hosts.EDGES}
        stop = threading.Event()

        def look(edge: str, seen=seen, stop=stop) -> None:
            while not stop.is_set():
                key = admin.ask(site.socket(edge), "keys")["trunks"]["ab"]["key"]
                if not seen[edge] or seen[edge][-1][1] != key:
                    seen[edge].append((time.monotonic(), key))
                time.sleep(0.002)

        looking = [threading.Thread(target=look, args=(edge,)) for edge in hosts.EDGES]
        for thread in looking:
            thread.start()
        site.rotate("ab")
        stop.set()
        for thread in looking:
            thread.join()
        assert [[key for _, key in each][1:] for each in seen.values()] == [[site.reports[-1]["new"]]] * 2
        first, second = (each[1][0] for each in seen.values())
        spans.append(abs(first - second))
    print("\nthe ends differed for " + ", ".join(f"{1000 * span:.0f} ms" for span in spans))
    assert max(spans) < 2.0
