"""Unpacking releases: only what belongs there, whole or not at all."""

from __future__ import annotations

import io
import os
import tarfile

import pytest
from agent_client import Target, Wanted

LINK = "/opt/vosctl/current"


def pack(*members: tuple[str, bytes | str, int], kind: bytes = b"") -> bytes:
    """A tar.gz of (name, content, mode); a str is a link's target."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content, mode in members:
            entry = tarfile.TarInfo(name)
            entry.mode = mode
            if isinstance(content, str):
                entry.type, entry.linkname = kind or tarfile.SYMTYPE, content
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


GOOD = pack(("VERSION", b"1\n", 0o644), ("bin/run", b"#!/bin/sh\n", 0o4755), ("lib/a", "../VERSION", 0o777))


def link(folder: Target) -> str | None:
    path = folder.path(LINK)
    return os.readlink(path) if path.is_symlink() else None  # noqa: PTH115  as text


def test_a_release_is_unpacked_and_linked(folder: Target) -> None:
    wanted = Wanted().releases(GOOD, "1.2")
    assert folder.inspect(wanted)["release"] is None
    digest = wanted.release["digest"]
    assert folder.settle(wanted)["changed"] == [f"release 1.2-{digest[:12]}"]
    assert link(folder) == f"releases/1.2-{digest[:12]}"
    assert folder.path(LINK + "/bin/run").stat().st_mode & 0o7777 == 0o755
    assert folder.path(LINK + "/lib/a").read_bytes() == b"1\n"
    assert folder.inspect(wanted)["release"] == {"version": "1.2", "digest": digest}
    assert folder.settle(wanted)["changed"] == []


def test_a_release_that_the_node_has_is_not_needed_again(folder: Target) -> None:
    first, second = Wanted().releases(GOOD, "1"), Wanted().releases(pack(("VERSION", b"2\n", 0o644)), "2")
    folder.settle(first)
    folder.settle(second)
    observed = folder.inspect(first)
    request = folder.apply_frame(first, observed)
    request["items"]["release"] = None
    with folder.agent() as agent:
        assert agent.ask(request)["op"] == "applied"
    assert link(folder).startswith("releases/1-")


def test_without_confirmation_the_link_goes_back(folder: Target) -> None:
    folder.settle(Wanted().releases(GOOD, "1"))
    old = link(folder)
    applied = folder.apply(Wanted().releases(pack(("VERSION", b"2\n", 0o644)), "2"))
    assert link(folder) != old
    folder.ask("rollback", id=applied["id"])
    assert link(folder) == old


def test_old_releases_go_when_no_rollback_needs_them(folder: Target) -> None:
    for number in range(9):
        folder.settle(Wanted().releases(pack(("VERSION", b"%d" % number, 0o644)), str(number)))
    kept = sorted(path.name.partition("-")[0] for path in folder.path("/opt/vosctl/releases").iterdir())
    assert kept == ["3", "4", "5", "6", "7", "8"]
    for number in (7, 6, 5, 4, 3):
        folder.ask("rollback")
        assert folder.path(LINK + "/VERSION").read_text() == str(number)


BAD = {
    "absolute": pack(("/etc/evil", b"x", 0o644)),
    "climbing": pack(("lib/../../../evil", b"x", 0o644)),
    "absolute link": pack(("lib/a", "/etc/passwd", 0o777)),
    "climbing link": pack(("lib/a", "../../../evil", 0o777)),
    "below a link": pack(("lib", "bin", 0o777), ("lib/a", b"x", 0o644)),
    "over a link": pack(("a", "b", 0o777), ("a", b"x", 0o644)),
    "hard link": pack(("a", b"x", 0o644), ("b", "a", 0o644), kind=tarfile.LNKTYPE),
    "device": pack(("a", "", 0o644), kind=tarfile.CHRTYPE),
    "fifo": pack(("a", "", 0o644), kind=tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("archive", BAD.values(), ids=BAD)
def test_archives_that_reach_out_are_refused(folder: Target, archive: bytes) -> None:
    answer = folder.apply(Wanted().releases(archive).file("/etc/a", b"1"))
    assert (answer["op"], answer["kind"], answer["item"]) == ("error", "denied", "release")
    assert not folder.path("/opt").exists()
    assert not folder.path("/etc").exists()
    assert not list(folder.root.parent.glob("evil*"))


@pytest.mark.parametrize("archive", [b"", b"no archive", GOOD[:100]], ids=["empty", "noise", "cut"])
def test_archives_that_are_none(folder: Target, archive: bytes) -> None:
    answer = folder.apply(Wanted().releases(archive))
    assert answer["op"] == "error"
    assert "cannot be read" in answer["error"]


def test_an_archive_that_was_not_sent(folder: Target) -> None:
    wanted = Wanted().releases(GOOD)
    request = folder.apply_frame(wanted, folder.inspect(wanted))
    request["items"]["release"] = None
    with folder.agent() as agent:
        answer = agent.ask(request)
    assert answer["op"] == "error"
    assert "not sent" in answer["error"]


def test_an_archive_that_is_not_the_wanted_one(folder: Target) -> None:
    wanted = Wanted().releases(GOOD)
    wanted.archive = pack(("VERSION", b"evil", 0o644))
    answer = folder.apply(wanted)
    assert answer["op"] == "error"
    assert "digest" in answer["error"]
