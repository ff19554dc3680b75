"""The release archive: the same bytes each time, whole, and running on a bare python3 of the oldest version."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from relay_calls import Node

from vosctl import __version__
from vosctl.relay.release import build_release

OLDEST = (3, 9)


@pytest.fixture(scope="module")
def release():
    return build_release()


@pytest.fixture(scope="module")
def unpacked(release, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("opt") / f"{release.version}-{release.digest[:12]}"
    with tarfile.open(fileobj=io.BytesIO(release.archive)) as tar:
        tar.extractall(folder)
    return folder


def test_the_digest_is_the_archives_and_a_second_build_is_the_same(release):
    assert release.version == __version__
    assert release.digest == hashlib.sha256(release.archive).hexdigest()
    assert build_release() == release


def test_the_build_does_not_depend_on_hash_seed_or_clock(release):
    script = "from vosctl.relay.release import build_release; print(build_release().digest)"
    for seed in ("1", "2"):
        found = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.strip() == release.digest


def test_members_are_sorted_and_belong_to_root_at_the_epoch(release):
    with tarfile.open(fileobj=io.BytesIO(release.archive)) as tar:
        members = tar.getmembers()
    names = [member.name for member in members]
    assert names == sorted(names)
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, 0, "root", "root")}
    assert {m.name: oct(m.mode) for m in members}["bin/vosctl-relay"] == "0o755"
    needed = {"VERSION", "lib/vosctl/relay/media/libvosmedia.so", "lib/vosctl/relay/control/daemon.py"}
    assert needed <= set(names)
    assert not [name for name in names if "__pycache__" in name or "/site/" in name]


def test_every_file_is_in_the_language_of_the_oldest_python(unpacked):
    for path in unpacked.rglob("*.py"):
        ast.parse(path.read_text(), str(path), feature_version=OLDEST)


def _pythons() -> list[str]:
    """This python, the system's, and the oldest supported one where it is installed."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [
        sys.executable,
        shutil.which("python3", path="/usr/bin"),
        *map(str, pyenv.glob("3.9.*/bin/python3.9")),
    ]
    return list(dict.fromkeys(path for path in found if path))


@pytest.mark.parametrize("python", _pythons())
def test_it_runs_from_where_it_was_unpacked(unpacked, release, tmp_path, python):
    node = Node(tmp_path / "node", "edge")
    node.command = [python, "-I", "-S", str(unpacked / "bin" / "vosctl-relay")]
    node.start()
    try:
        with node.client() as client:
            client.ping()
        assert node.ask("status")["release"] == release.digest[:12]
    finally:
        node.stop()


def test_its_launcher_finds_python_by_itself(unpacked):
    done = subprocess.run(
        [unpacked / "bin" / "vosctl-relay", "--help"], check=True, capture_output=True, text=True
    )
    assert "supervise" in done.stdout
