"""Another release under a running call: control is upgraded, media goes on where its files are the same."""

from __future__ import annotations

import io
import os
import signal
import sys
import tarfile
from pathlib import Path

import pytest
from relay_calls import Call, Node, g711, until

from vosctl.relay import supervise
from vosctl.relay.release import build_release


def unpack(folder: Path, *, change: str = "") -> Path:
    """Unpack the release to ``folder``, one file of it with one line more."""
    with tarfile.open(fileobj=io.BytesIO(build_release().archive)) as tar:
        tar.extractall(folder)
    if change:
        path = folder / "lib/vosctl/relay" / change
        path.write_text(path.read_text() + "\n# another release\n")
    return folder


@pytest.fixture
def node(tmp_path, phones):
    link = tmp_path / "current"
    link.symlink_to(unpack(tmp_path / "old"))
    node = Node(tmp_path / "node", "edge")
    node.command = [sys.executable, "-I", "-S", str(link / "bin" / "vosctl-relay")]
    node.start()
    yield node
    node.stop()


def switch(node: Node, folder: Path) -> None:
    """Point the link at ``folder`` and tell the supervisor; return when another control answers."""
    link = node.root.parent / "current"
    before = node.ask("status")["pid"]
    link.unlink()
    link.symlink_to(folder)
    os.kill(supervise.running(node.paths), signal.SIGUSR1)
    until(lambda: _control(node) not in {0, before})


def _control(node: Node) -> int:
    try:
        return node.ask("status")["pid"]
    except Exception:  # between two lives
        return 0


def program(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return next(word.decode() for word in words if word.endswith(b"launcher.py"))


def test_control_is_upgraded_under_a_call_and_media_loses_nothing(node, phones, tmp_path):
    caller, callee = phones(), phones()
    call = Call(node, node, caller, callee)
    with node.client() as client:
        call.to_callee = client.offer("c", "f", caller.sdp())
        call.to_caller = client.answer("c", "f", "t", callee.sdp())
        before = node.ask("status"), supervise.running(node.paths)
        new = unpack(tmp_path / "new", change="control/daemon.py")
        call.talk(400, pace=0.004, during=lambda: switch(node, new))
        after = node.ask("status"), supervise.running(node.paths)
        assert after[1] == before[1], "the service keeps its main process"
        assert after[0]["media"]["pid"] == before[0]["media"]["pid"]
        assert str(new) in program(after[0]["pid"])
        assert after[0]["calls"] == 1
        assert client.offer("c", "f", caller.sdp(), to_tag="t") == call.to_callee
        assert client.delete("c", "f")["totals"]["RTP"]["packets"] == 800
    call.close()


def test_media_with_other_files_starts_anew(node, tmp_path):
    before = node.ask("status")["media"]["pid"]
    switch(node, unpack(tmp_path / "new", change="media/ports.py"))
    until(lambda: node.ask("status")["media"]["pid"] not in {None, before})
    assert "media has other files now" in node.log()
    assert not Path(f"/proc/{before}").exists()


def test_a_release_that_does_not_start_changes_nothing(node, tmp_path):
    before = node.ask("status")
    new = unpack(tmp_path / "new")
    (new / "lib/vosctl/relay/supervise.py").write_text("this is no Python\n")
    link = tmp_path / "current"
    link.unlink()
    link.symlink_to(new)
    os.kill(supervise.running(node.paths), signal.SIGUSR1)
    until(lambda: "the next release does not start" in node.log())
    after = node.ask("status")
    assert (after["pid"], after["media"]["pid"]) == (before["pid"], before["media"]["pid"])
    link.unlink()
    link.symlink_to(tmp_path / "old")


def test_adopted_media_that_dies_comes_back(node, tmp_path):
    switch(node, unpack(tmp_path / "new"))
    pid = until(lambda: node.ask("status")["media"]["pid"])
    os.kill(pid, signal.SIGKILL)
    until(lambda: node.ask("status")["media"]["pid"] not in {None, pid})


def test_both_killed_leave_nothing_and_the_next_reinvite_restores_the_call(node, phones):
    caller, callee = phones(), phones()
    with node.client() as client:
        client.offer("c", "f", caller.sdp())
        client.answer("c", "f", "t", callee.sdp())
        status = node.ask("status")
        for pid in (status["pid"], status["media"]["pid"]):
            os.kill(pid, signal.SIGKILL)
        until(lambda: _control(node) not in {0, status["pid"]} and node.ask("status")["media"]["up"])
        assert node.ask("status")["calls"] == 0
        assert not Path(f"/proc/{status['media']['pid']}").exists()
        client.offer("c", "f", caller.sdp(), to_tag="t")
        to_caller = client.answer("c", "f", "t", callee.sdp())
        assert node.ask("status")["calls"] == 1
    sent = g711(5, seed=1)
    for packet in sent:
        caller.send(packet, to_caller)
    assert callee.drain(5) == sent
