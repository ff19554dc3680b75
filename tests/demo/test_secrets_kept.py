"""A whole demo shows none of its keys: not in what it prints, logs, journals, plans or names, nor in any process list.

On the nodes they stand in files that only their owner may read. The site's own YAML is where they come from.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from vosctl.cli.main import run
from vosctl.demo import local
from vosctl.demo.stage import program

ROOT = Path(__file__).parents[2]
SITE = (ROOT / "inventory/group_vars/all/trunks.yml", ROOT / "inventory/host_vars/edge-a.yml")
SECRETS = tuple(
    found.encode()
    for file in SITE
    for found in re.findall(r'(?:value|password): "?([A-Za-z0-9]{6,})', file.read_text())
)
LOUD = re.compile(r"\.(?:log|jsonl|md|txt)$|journal|audit|runs/|plan\.json", re.IGNORECASE)


class Watch(threading.Thread):
    """Looks at every process' arguments and environment, and at every file below a folder, until told to stop."""

    def __init__(self, folder: Path, *, every_file: bool = False) -> None:
        super().__init__(daemon=True)
        self._spares = (lambda _: False) if every_file else is_site
        self._folder = folder
        self._over = threading.Event()
        self.found: set[str] = set()
        self.kept: set[str] = set()
        self.processes: set[str] = set()
        self.names = 0

    def run(self) -> None:
        while not self._over.wait(0.05):
            for process in Path("/proc").glob("[0-9]*"):
                self._process(process)
            for path in below(self._folder):
                self._file(path)

    def stop(self) -> None:
        self._over.set()
        self.join()

    def _process(self, process: Path) -> None:
        for name in ("cmdline", "environ"):
            data = content(process / name)
            self.processes.add(process.name)
            if any(secret in data for secret in SECRETS):
                self.found.add(f"{name} of {process.name}: {data[:40]!r}")

    def _file(self, path: Path) -> None:
        self.names += 1
        if any(secret in os.fsencode(path) for secret in SECRETS):
            self.found.add(f"a file's name: {path}")
        data = content(path)
        if not any(secret in data for secret in SECRETS) or self._spares(path):
            return
        try:
            about = path.stat()
        except OSError:
            return
        self.kept.add(path.name.removeprefix(".").removesuffix(".vosctl-new"))  # it may be just in the making
        if about.st_mode & 0o077 or LOUD.search(str(path.relative_to(self._folder))):
            self.found.add(f"{path} with mode {about.st_mode & 0o777:o}")


def below(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in ("proc", "sys", "dev", "usr", "lib", "release")]
        yield from (path for path in (Path(where, name) for name in files) if path.is_file())


def content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(2**20)
    except OSError:
        return b""


def is_site(path: Path) -> bool:
    return path.suffix == ".yml" and ("group_vars" in path.parts or "host_vars" in path.parts)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), marks=pytest.mark.netns, id="namespaces"),
        pytest.param(("--without-privileges",), id="folders"),
    ],
)
def test_no_secret_leaves_its_wrapper(options, loopback):
    assert len(SECRETS) == 4
    state = Path("/tmp", f"vk{os.getpid()}-{time.monotonic_ns() % 10**9}")
    watch = Watch(state)
    watch.start()
    try:
        done = subprocess.run(
            (program(), "demo", "run", "--state", str(state), *options),
            capture_output=True, timeout=110, check=False,
        )  # fmt: skip
    finally:
        watch.stop()
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]
    assert not watch.found
    assert watch.names > 100, "the demo's folder was looked at"
    assert any("keys" in name for name in watch.kept), "keys were seen on the nodes, where they belong"
    assert len(watch.processes) > 10


@pytest.fixture
def encrypted(loopback):
    """The example site, every secret encrypted, on nodes that are folders; and a watch over all of it."""
    state = Path("/tmp", f"ve{os.getpid()}-{time.monotonic_ns() % 10**9}")
    state.mkdir(mode=0o700)
    with local.stage(state) as stage:
        password = stage.site / "password"
        password.write_text("four drawn words here\n")
        password.chmod(0o600)
        files = [str(file.relative_to(ROOT)) for file in SITE]
        for words in (("init", "--cost", "10", "--new-password-file", "password"), ("encrypt", *files)):
            done = stage.ask("vault", *words)
            assert done.returncode == 0, done.stdout + done.stderr
        watch = Watch(state, every_file=True)
        watch.start()
        try:
            yield replace(stage, options=("--vault-password-file", "password")), watch
        finally:
            watch.stop()
    shutil.rmtree(state)


@pytest.mark.slow
def test_an_encrypted_site_is_applied_and_shows_nothing(encrypted, monkeypatch, capfd):
    stage, watch = encrypted
    book = "playbooks/site.yml"
    for words in (
        ("validate", book, "-v"),
        ("plan", book, "-D", "--out", "plan.json"),
        ("plan", book, "--markdown"),
        ("compile", book, "--out", "out"),
        ("explain", "edge-a", "keys", book),
        ("explain", "edge-a", "gateways.callshop", book, "--json"),
        ("apply", "plan.json"),
        ("plan", book, "-D", "--json"),
    ):
        done = stage.ask(*words)
        assert done.returncode == 0, (words, done.stdout + done.stderr)
        assert not [secret for secret in SECRETS if secret.decode() in done.stdout + done.stderr], words
    time.sleep(0.2)
    watch.stop()
    assert not watch.found
    assert watch.kept == {"relay-keys.json"}
    assert (stage.site / ".vosctl/vault-seen.json").exists()
    monkeypatch.chdir(stage.site)
    monkeypatch.setattr("vosctl.cli.site.compile_site", bug)
    assert run(["validate", book, "--vault-password-file", "password"]) == 1
    said = capfd.readouterr().err
    assert "Traceback" in said and "<secret>" in said
    assert not [secret for secret in SECRETS if secret.decode() in said]


def bug(site, **_):
    raise RuntimeError(f"a bug that shows all it has: {site!r}")
