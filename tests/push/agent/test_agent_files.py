"""Files on a node that is a directory: applied, confirmed, taken back, watched."""

from __future__ import annotations

import base64
import time

import pytest
from agent_client import Target, Wanted, tree, wait_until


def sample() -> Wanted:
    return Wanted().file("/etc/voice/a.json", b"{}", mode=0o640).file("/srv/b", b"x" * 5000)


def test_apply_then_confirm(folder: Target) -> None:
    applied = folder.settle(sample())
    assert applied["changed"] == ["file /etc/voice/a.json", "file /srv/b"]
    assert folder.path("/etc/voice/a.json").read_bytes() == b"{}"
    assert folder.path("/etc/voice/a.json").stat().st_mode & 0o777 == 0o640
    status = folder.ask("status")
    assert status["pending"] is None
    assert status["applied"]["confirmed"]
    assert status["applied"]["revision"] == "abc123"
    assert [entry["event"] for entry in status["journal"]] == [
        "begin",
        "armed",
        "step",
        "applied",
        "confirmed",
    ]


def test_a_second_apply_changes_nothing(folder: Target) -> None:
    folder.settle(sample())
    before = folder.inspect(sample())
    again = folder.settle(sample())
    assert (again["changed"], again["deadline"]) == ([], 0)
    after = folder.inspect(sample())
    assert after["files"] == before["files"]
    assert after["orphans"] == {"files": [], "sets": [], "chains": {}}


def test_confirm_may_be_repeated(folder: Target) -> None:
    applied = folder.settle(sample())
    assert folder.ask("confirm", id=applied["id"])["op"] == "confirmed"
    nothing = folder.settle(sample())
    assert folder.ask("confirm", id=nothing["id"])["op"] == "confirmed"


def test_without_confirmation_everything_goes_back(folder: Target) -> None:
    folder.path("/srv").mkdir()
    folder.path("/srv/b").write_bytes(b"old")
    folder.path("/srv/b").chmod(0o600)
    before = tree(folder.root)
    applied = folder.apply(sample(), window=1)
    assert applied["op"] == "applied"
    assert folder.path("/srv/b").read_bytes() != b"old"
    assert folder.ask("status")["pending"]["id"] == applied["id"]
    assert wait_until(lambda: not folder.path("/var/lib/vosctl/pending.json").exists())
    assert {path: what for path, what in tree(folder.root).items() if not path.startswith("/var")} == before
    late = folder.ask("confirm", id=applied["id"])
    assert (late["op"], late["rolled_back"]) == ("failed", True)
    assert "no confirmation came in time" in late["error"]


def test_the_deadline_is_told_and_kept_open_until_then(folder: Target) -> None:
    applied = folder.apply(sample(), window=20)
    assert 15 <= applied["deadline"] - time.time() <= 21
    assert folder.ask("confirm", id=applied["id"])["op"] == "confirmed"


def test_a_hung_up_controller_changes_nothing_about_that(folder: Target) -> None:
    agent = folder.agent()
    observed = agent.ask(folder.frame("inspect", wanted=sample().frame()))["observed"]
    request = folder.apply_frame(sample(), observed, window=1.5)
    agent.send(request)
    for stream in (agent.process.stdin, agent.process.stdout, agent.process.stderr):
        stream.close()
    agent.process.wait(30)
    assert wait_until(lambda: (folder.ask("status")["journal"] or [{}])[-1].get("event") == "reverted")
    assert not folder.path("/etc/voice").exists()


def test_mode_alone_is_a_change_that_needs_no_content(folder: Target) -> None:
    folder.settle(sample())
    folder.path("/srv/b").chmod(0o600)
    assert folder.inspect(sample())["files"]["/srv/b"]["mode"] == 0o600
    assert folder.settle(sample())["changed"] == ["file /srv/b"]
    assert folder.path("/srv/b").stat().st_mode & 0o777 == 0o644


@pytest.mark.root
def test_the_owner_is_set_by_name(folder: Target) -> None:
    wanted = Wanted().file("/etc/a", b"1", owner="nobody", group="nogroup")
    folder.settle(wanted)
    assert folder.path("/etc/a").owner() == "nobody"
    assert folder.inspect(wanted)["files"]["/etc/a"]["group"] == "nogroup"


@pytest.mark.root
def test_an_unknown_owner_is_refused_before_anything_changes(folder: Target) -> None:
    answer = folder.apply(sample().file("/etc/a", b"1", owner="nosuchuser"))
    assert answer["op"] == "error"
    assert "nosuchuser" in answer["error"]
    assert not folder.path("/etc").exists()


def test_what_is_not_wanted_any_more_is_removed(folder: Target) -> None:
    folder.settle(sample())
    folder.path("/etc/voice/other").write_bytes(b"not ours")
    less = Wanted().file("/srv/b", b"new")
    assert folder.inspect(less)["orphans"]["files"] == ["/etc/voice/a.json"]
    assert folder.settle(less)["changed"] == ["file /srv/b", "file /etc/voice/a.json removed"]
    assert not folder.path("/etc/voice/a.json").exists()
    assert folder.path("/etc/voice/other").exists()
    assert folder.inspect(less)["orphans"]["files"] == []


def test_a_removed_file_comes_back_without_confirmation(folder: Target) -> None:
    folder.settle(sample())
    before = tree(folder.root)
    folder.apply(Wanted().file("/srv/b", b"new"), window=0.5)
    assert wait_until(lambda: tree(folder.root) == before)


def test_a_link_is_replaced_and_not_followed(folder: Target) -> None:
    folder.path("/srv").mkdir()
    folder.path("/precious").write_bytes(b"precious")
    folder.path("/srv/b").symlink_to("/precious")
    before = tree(folder.root)
    wanted = Wanted().file("/srv/b", b"new")
    folder.apply(wanted, window=0.7)
    assert not folder.path("/srv/b").is_symlink()
    assert folder.path("/precious").read_bytes() == b"precious"
    assert wait_until(
        lambda: {p: w for p, w in tree(folder.root).items() if not p.startswith("/var")} == before
    )


@pytest.mark.parametrize("blocked", ["directory", "parent"])
def test_a_place_where_no_file_can_be(folder: Target, blocked: str) -> None:
    folder.path("/srv").mkdir()
    if blocked == "directory":
        folder.path("/srv/b").mkdir()
    else:
        folder.path("/etc").write_bytes(b"")
    answer = folder.apply(sample())
    assert answer["op"] == "error"
    assert "directory" in answer["error"]
    assert not folder.path("/srv/b").is_file()


def test_only_short_public_differing_content_is_shown(folder: Target) -> None:
    for name in ("same", "differs", "secret", "long"):
        folder.path(f"/{name}").write_bytes(name.encode() * (100 if name == "long" else 1))
    wanted = (
        Wanted()
        .file("/same", b"same")
        .file("/differs", b"x")
        .file("/secret", b"x", secret=True)
        .file("/long", b"x")
    )
    with folder.agent() as agent:
        answer = agent.ask(folder.frame("inspect", wanted=wanted.frame(), max_content=100))
    files = answer["observed"]["files"]
    assert [path for path, found in files.items() if "content" in found] == ["/differs"]
    assert base64.b64decode(files["/differs"]["content"]) == b"differs"


def test_a_node_that_moved_since_the_plan_refuses(folder: Target) -> None:
    wanted = sample()
    observed = folder.inspect(wanted)
    folder.path("/srv").mkdir()
    folder.path("/srv/b").write_bytes(b"by hand")
    with folder.agent() as agent:
        answer = agent.ask(folder.apply_frame(wanted, observed))
    assert answer["op"] == "error"
    assert "moved" in answer["error"]
    assert folder.path("/srv/b").read_bytes() == b"by hand"


def test_content_that_was_not_sent_or_is_not_what_it_says(folder: Target) -> None:
    wanted = sample()
    observed = folder.inspect(wanted)
    request = folder.apply_frame(wanted, observed)
    for content, said in ((None, "was not sent"), ("eA==", "has not its digest"), ("§", "neither base64")):
        files = {**request["items"]["files"], "/srv/b": content}
        if content is None:
            del files["/srv/b"]
        with folder.agent() as agent:
            answer = agent.ask({**request, "items": {**request["items"], "files": files}})
        assert answer["op"] == "error"
        assert said in answer["error"]
    assert not folder.path("/etc").exists()


def test_a_second_operator_is_told_who_waits(folder: Target) -> None:
    first = folder.apply(sample(), window=20)
    answer = folder.apply(Wanted().file("/etc/voice/a.json", b"other"))
    assert (answer["op"], answer["kind"]) == ("error", "locked")
    assert "tester@here" in answer["error"]
    assert first["id"] in answer["error"]
    assert folder.ask("confirm", id=first["id"])["op"] == "confirmed"


def test_the_same_apply_may_be_asked_for_twice(folder: Target) -> None:
    observed = folder.inspect(sample())
    request = folder.apply_frame(sample(), observed)
    with folder.agent() as agent:
        first, second = agent.ask(request), agent.ask(request)
    assert first == second
    assert folder.ask("confirm", id=first["id"])["op"] == "confirmed"


def test_rollback_takes_back_what_waits_then_generation_by_generation(folder: Target) -> None:
    states = []
    applied = []
    for number in range(7):
        states.append(tree(folder.root))
        applied.append(folder.settle(Wanted().file("/etc/a", b"%d" % number))["id"])
    pending = folder.apply(Wanted().file("/etc/a", b"pending"), window=20)
    undone = folder.ask("rollback")
    assert undone["undone"] == [pending["id"]]
    assert undone["to"] == applied[6]
    assert folder.path("/etc/a").read_bytes() == b"6"
    assert folder.ask("rollback", id=applied[5])["undone"] == [applied[6], applied[5]]
    assert tree(folder.root) == states[5]
    # Asked again it has nothing to do.
    assert folder.ask("rollback", id=applied[5])["undone"] == []
    for number in (4, 3, 2):
        assert folder.ask("rollback")["undone"] == [applied[number]]
    # Five are kept, no more.
    answer = folder.ask("rollback")
    assert answer["op"] == "error"
    assert folder.path("/etc/a").read_bytes() == b"1"
    # And the node goes on from there.
    assert folder.settle(Wanted().file("/etc/a", b"new"))["changed"] == ["file /etc/a"]


def test_rollback_to_what_was_never_applied(folder: Target) -> None:
    assert folder.ask("rollback")["op"] == "error"
    answer = folder.ask("rollback", id="nosuch")
    assert answer["op"] == "error"
    assert folder.ask("confirm", id="nosuch")["op"] == "failed"


def test_state_is_for_root_alone(folder: Target) -> None:
    folder.settle(Wanted().file("/etc/key", b"old", secret=True, mode=0o600))
    folder.settle(Wanted().file("/etc/key", b"new", secret=True, mode=0o600))
    state = folder.path("/var/lib/vosctl")
    assert state.stat().st_mode & 0o777 == 0o700
    for path in state.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert folder.path("/var").stat().st_mode & 0o777 == 0o755


def test_a_torn_journal_and_noise_in_the_state_are_survived(folder: Target) -> None:
    folder.settle(Wanted().file("/etc/a", b"1"))
    with folder.path("/var/lib/vosctl/journal.jsonl").open("ab") as journal:
        journal.write(b'{"time": 1, "eve')
    folder.settle(Wanted().file("/etc/a", b"2"))
    events = [entry["event"] for entry in folder.ask("status")["journal"]]
    assert events[-5:] == ["begin", "armed", "step", "applied", "confirmed"]
    folder.path("/var/lib/vosctl/snapshots/.half").mkdir()
    folder.path("/var/lib/vosctl/applied.json").write_bytes(b"{")
    folder.settle(Wanted().file("/etc/a", b"3"))
    assert not folder.path("/var/lib/vosctl/snapshots/.half").exists()


def test_a_snapshot_of_another_version_ends_what_can_be_taken_back(folder: Target) -> None:
    old = folder.settle(Wanted().file("/etc/a", b"1"))["id"]
    place = folder.path(f"/var/lib/vosctl/snapshots/{old}/manifest.json")
    # As an earlier version had it: all in one file.
    place.write_text(f'{{"id": "{old}", "files": [], "services": [], "documents": {{"applied": null}}}}')
    last = folder.settle(Wanted().file("/etc/a", b"2"))["id"]
    assert [path.name for path in folder.path("/var/lib/vosctl/snapshots").iterdir()] == [last]
    assert folder.ask("rollback")["undone"] == [last]
    assert folder.path("/etc/a").read_bytes() == b"1"
    answer = folder.ask("rollback")
    assert answer["op"] == "error"
    assert "no earlier state" in answer["error"]
