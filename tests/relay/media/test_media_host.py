"""The media process as control sees it: requests, idempotence, limits, reconnection, and its end."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import wire_reference
from media_driver import Media, Phone, RefusedError
from wire_reference import packet

from vosctl.errors import RelayError
from vosctl.relay.media import build, host

Phones = Callable[..., Phone]
Start = Callable[..., Media]
AES = {"mode": "aes128", "kid": "k", "salt": "00000001"}


def descriptors(media: Media) -> int:
    return sum(1 for _ in Path(f"/proc/{media.process.pid}/fd").iterdir())


def test_add_is_idempotent(media: Media, phone: Phones) -> None:
    left, right = phone(), phone()
    request = {"call": "c", "stream": 0, "a": media.leg(left), "b": media.leg(None), "blob": {"tag": "x"}}
    first = media.request("add", **request)
    before = descriptors(media)
    again = media.request("add", **{**request, "b": media.leg(right)})
    assert {side: again[side] for side in "ab"} == {side: first[side] for side in "ab"}
    left.send(packet(b"x"), first["a"]["local"])
    assert right.receive() == packet(b"x")
    assert descriptors(media) == before + 1, "side b is locked now, and has its guard"
    other = media.request("add", call="c", stream=1, a=media.leg(left), b=media.leg(right))
    assert other["a"]["local"] not in (first["a"]["local"], first["b"]["local"])
    (call,) = media.request("dump")["calls"]
    assert [stream["stream"] for stream in call["streams"]] == [0, 1]
    assert call["blob"] == {"tag": "x"}


def test_the_dump_restores_control_after_a_reconnect(media: Media, phone: Phones) -> None:
    """Control goes away in mid-call: media flows on, and the dump says all that control had told."""
    media.request("keys", keys={"k": {"value": wire_reference.KEYS["aes128"][0]}})
    left, right = phone(), phone()
    far = media.leg(right, pts=[8, 101], tx=AES, dscp=34, clocks={"111": 48000})
    made = media.request(
        "add", call="c", stream=0, a=media.leg(left), b=far, blob={"from": "acme", "n": [1, 2]}
    )
    media.request("change", call="c", stream=0, blob={"from": "acme", "n": [3]})
    media.disconnect()
    left.send(packet(b"meanwhile"), made["a"]["local"])
    assert len(right.receive()) == len(packet(b"meanwhile"))
    media.connect()
    (call,) = media.request("dump")["calls"]
    assert (call["call"], call["blob"]) == ("c", {"from": "acme", "n": [3]})
    leg = call["streams"][0]["b"]
    assert {name: leg[name] for name in far} == {**far, "remote": list(right.name)}
    assert (leg["local"], leg["rtcp"], leg["sent"]) == (made["b"]["local"], made["b"]["rtcp"], 1)
    again = {name: leg[name] for name in ("address", "remote", "learn", "pts", "rx", "tx", "dscp", "clocks")}
    assert media.request("add", call="c", stream=0, a=media.leg(left), b=again)["b"] == made["b"]


def test_a_newer_control_connection_replaces_the_older(media: Media) -> None:
    older = media._socket
    media.connect()
    assert media.request("status")["ok"]
    older.settimeout(5)
    assert older.recv(10) == b""
    older.close()


def test_ports_are_even_rest_longest_and_run_out(media: Media, phone: Phones) -> None:
    media.configure(ports=[21001, 21013])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as squatter:
        squatter.bind((media.address, 21005))
        used = []
        for number in range(2):
            made = media.request("add", call=f"c{number}", stream=0, a=media.leg(), b=media.leg())
            used += [made["a"]["local"][1], made["b"]["local"][1]]
        assert used == [21002, 21006, 21008, 21010], "21004 is skipped: somebody has its RTCP port"
        before = descriptors(media)
        with pytest.raises(RefusedError, match="Ran out of ports"):
            media.request("add", call="c9", stream=0, a=media.leg(), b=media.leg())
        assert descriptors(media) == before
    media.request("remove", call="c0")
    made = media.request("add", call="c2", stream=0, a=media.leg(), b=media.leg())
    assert [made[side]["local"][1] for side in "ab"] == [21004, 21012], "what c0 gave back rests longer"
    with pytest.raises(RefusedError, match="no call 'c0'"):
        media.request("stats", call="c0")


def test_removed_calls_leave_nothing_behind(media: Media, phone: Phones) -> None:
    left, right = phone(), phone()
    before = descriptors(media)
    for _ in range(20):
        media.request("add", call="c", stream=0, a=media.leg(left), b=media.leg(right))
        media.request("add", call="c", stream=1, a=media.leg(left), b=media.leg(right))
        (ended,) = media.request("remove", call="c", stream=1)["counters"]["streams"]
        assert ended["stream"] == 1
        assert media.request("remove", call="c", stream=1)["counters"] == {"streams": []}
        assert len(media.request("remove", call="c")["counters"]["streams"]) == 1
    assert descriptors(media) == before
    assert media.request("remove", call="c")["counters"] is None
    assert media.request("status")["streams"] == 0


def limit_files(hard: int) -> str:
    return f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (40, {hard})); "


def test_too_few_open_files_are_named(start: Start) -> None:
    """The soft limit is raised to the hard one; at the end of that, the error says the number."""
    media = start(before=limit_files(60))
    assert media.request("status")["files"]["limit"] == 60
    with pytest.raises(RefusedError, match=r"too many open files: this process may hold 60, .*LimitNOFILE"):
        for number in range(30):
            media.request("add", call=f"c{number}", stream=0, a=media.leg(), b=media.leg())
    running = media.request("status")["calls"]
    assert running >= 10
    media.request("remove", call="c0")
    media.request("add", call="again", stream=0, a=media.leg(), b=media.leg())


def test_short_of_descriptors_a_leg_does_without_a_guard(start: Start, phone: Phones) -> None:
    """It compares sources by itself then; strangers are dropped and counted all the same."""
    media = start(before=limit_files(200))
    left, right, stranger = phone(), phone(), phone()
    for number in range(30):
        before = descriptors(media)
        made = media.request("add", call=f"c{number}", stream=0, a=media.leg(left), b=media.leg(right))
    assert descriptors(media) == before + 4
    stranger.send(packet(b"evil"), made["a"]["local"])
    left.send(packet(b"good"), made["a"]["local"])
    assert right.receive() == packet(b"good")
    assert media.until("c29", "a", dropped=1)["dropped"] == 1


@pytest.mark.parametrize(
    ("leg", "said"),
    [
        ({"rx": AES}, "unknown key 'k'"),
        ({"rx": {"mode": "aes128"}}, r"a\.rx: aes128 needs a kid"),
        (
            {"rx": {"mode": "aes256", "kid": "k"}},
            r"a\.rx: must be an object with a mode of none, xor, rc4, aes128",
        ),
        ({"tx": {**AES, "salt": "123"}}, r"a\.tx: salt must be 8 hex digits"),
        ({"tx": {**AES, "kid": "short"}}, "key 'short' has 5 characters; aes128 needs exactly 16"),
        ({"remote": ["nowhere", 1]}, r"a\.remote: 'nowhere' does not appear to be"),
        ({"remote": ["127.0.0.1", 70000]}, r"a\.remote: must be \[ip, port\]"),
        ({"remote": ["::1", 4000]}, r"a\.remote: ::1 cannot be reached from .* \(IPv4\)"),
        ({"learn": "guess"}, r"a\.learn: must be one of sdp, nat, any"),
        ({"learn": "nat"}, r"a\.from: learn nat needs"),
        ({"pts": [128]}, r"a\.pts: must be a list of payload types"),
        ({"dscp": 184}, r"a\.dscp: must be a DSCP, 0 to 63"),
        ({"mux": 1}, r"a\.mux: must be true or false"),
        ({"clocks": {"8": 0}}, r"a\.clocks: must map"),
        ({"colour": "red"}, r"a\.colour: no such field"),
        ({"address": None}, r"a\.address: must be an IP address"),
        (
            {"address": "192.0.2.1"},
            r"cannot open a port on .*192\.0\.2\.1.*: Cannot assign requested address",
        ),
    ],
)
def test_a_wrong_leg_is_refused_by_name_and_nothing_is_left(
    media: Media, leg: dict[str, object], said: str
) -> None:
    media.request("keys", keys={"short": {"value": "abcde"}})
    before = descriptors(media)
    with pytest.raises(RefusedError, match=said):
        media.request("add", call="c", stream=0, a=media.leg(**leg), b=media.leg())
    assert descriptors(media) == before
    assert media.request("dump")["calls"] == []


@pytest.mark.parametrize(
    ("request_fields", "said"),
    [
        ({"cmd": "fly"}, "no command 'fly'"),
        ({"cmd": "add", "call": ""}, "call: must be a text"),
        ({"cmd": "add", "call": "c", "stream": -1}, "stream: must be 0 to 255"),
        ({"cmd": "add", "call": "c", "a": 3}, "a: must be an object"),
        ({"cmd": "add", "call": "c", "a": {}}, r"a\.address: missing"),
        ({"cmd": "change", "call": "c"}, "no stream 0 in call 'c'"),
        ({"cmd": "configure", "ports": [20000, 10]}, "ports: must be"),
        ({"cmd": "configure", "dscp": 64}, "dscp: must be"),
        ({"cmd": "configure", "timeout": -1}, "timeout: must be"),
        ({"cmd": "configure", "addresses": ["here"]}, "'here' is no IP address"),
        ({"cmd": "keys", "keys": []}, "keys: must be an object"),
        ({"cmd": "keys", "keys": {"a b": {"value": "x"}}}, "'a b' is no key id"),
        ({"cmd": "keys", "keys": {"k": {"value": "with blank "}}}, "value of 'k' must be 1 to 256"),
        ({"cmd": "drain"}, "drain.on"),
    ],
)
def test_a_wrong_request_is_answered(media: Media, request_fields: dict[str, object], said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        media.request(**request_fields)


def test_lines_that_are_no_requests_are_answered(media: Media) -> None:
    for line in (b"{", b"[]", b'"text"', b"\xff\xfe", b"[" * 100_000):
        media.send_raw(line + b"\n")
        answer = media.message()
        assert (answer["ok"], answer["id"]) == (False, None)
    assert media.request("status")["ok"]


def test_a_key_is_never_shown(media: Media, phone: Phones) -> None:
    value = wire_reference.KEYS["aes128"][0]
    media.request("keys", keys={"k": {"value": value}})
    media.request("add", call="c", stream=0, a=media.leg(phone()), b=media.leg(phone(), tx=AES))
    for command in ("dump", "stats", "status"):
        assert value not in json.dumps(media.request(command))
    with pytest.raises(RefusedError) as refused:
        media.request("keys", keys={"k": {"value": value + " "}})
    assert value not in str(refused.value)
    assert value not in media.said()


def test_a_refused_key_table_leaves_the_old_one(media: Media) -> None:
    media.request("keys", keys={"k": {"value": "abcdefgh12345678"}})
    with pytest.raises(RefusedError):
        media.request("keys", keys={"good": {"value": "x"}, "bad": {"value": ""}})
    assert media.request("status")["keys"] == ["k"]


def test_drain_takes_no_new_calls_and_keeps_the_old(media: Media, phone: Phones) -> None:
    left, right = phone(), phone()
    made = media.request("add", call="old", stream=0, a=media.leg(left), b=media.leg(right))
    assert media.request("drain", on=True)["calls_left"] == 1
    with pytest.raises(RefusedError, match="draining"):
        media.request("add", call="new", stream=0, a=media.leg(), b=media.leg())
    assert media.request("add", call="old", stream=0, a=media.leg(left), b=media.leg(right))["a"] == made["a"]
    media.request("drain", on=False)
    media.request("add", call="new", stream=0, a=media.leg(), b=media.leg())


def test_timeout_is_told_once_for_each_silence(media: Media, phone: Phones) -> None:
    media.configure(timeout=1)
    left, right = phone(), phone()
    made = media.request("add", call="c", stream=3, a=media.leg(left), b=media.leg(right))
    media.request("add", call="ringing", stream=0, a=media.leg(left), b=media.leg(None))
    for _ in range(2):
        left.send(packet(b"x"), made["a"]["local"])
        event = media.wait_event("timeout", side="a")
        assert (event["call"], event["stream"]) == ("c", 3)
        assert 1000 <= event["idle_ms"] < 5000
    assert sum(event["event"] == "timeout" and event["side"] == "b" for event in media.events) == 1
    assert not any(event["call"] == "ringing" for event in media.events)


def test_sigterm_ends_it_cleanly(start: Start, phone: Phones) -> None:
    media = start()
    media.request("add", call="c", stream=0, a=media.leg(phone()), b=media.leg(phone()))
    assert stat.S_IMODE((media.run / "media.sock").stat().st_mode) == 0o600
    media.process.send_signal(signal.SIGTERM)
    assert media.process.wait(10) == 0
    assert not (media.run / "media.sock").exists()
    assert "ending 1 calls" in media.said()


def test_hangup_of_the_terminal_or_a_reload_does_not_end_it(media: Media) -> None:
    media.process.send_signal(signal.SIGHUP)
    assert media.request("status")["pid"] == media.process.pid


def test_a_second_media_process_on_one_socket_is_refused(media: Media) -> None:
    with pytest.raises(RelayError, match="another media process runs here"):
        host.claim(media.run)
    assert media.request("status")["ok"]


def test_a_socket_left_by_a_killed_process_is_taken_over(start: Start) -> None:
    media = start()
    media.process.kill()
    media.process.wait(10)
    assert (media.run / "media.sock").exists()
    again = Media(media.run)
    assert again.request("status")["pid"] == again.process.pid
    assert again.stop() == 0


def test_the_oldest_python_of_the_promise_runs_it(start: Start, phone: Phones) -> None:
    """`python3 -I -S`: nothing but the standard library, as on a node."""
    old = shutil.which("python3.9")
    works = old and subprocess.run([old, "-c", ""], check=False, capture_output=True).returncode == 0
    media = start(python=(old if works else "python3", "-I", "-S"))
    left, right = phone(), phone()
    made = media.request("add", call="c", stream=0, a=media.leg(left), b=media.leg(right))
    left.send(packet(b"x"), made["a"]["local"])
    assert right.receive() == packet(b"x")
    media.request("dump")


def test_a_node_that_cannot_load_the_library_compiles_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another architecture's library, or none, is no obstacle where a compiler is."""
    foreign = tmp_path / "foreign.so"
    foreign.write_bytes(b"\x7fELF" + bytes(100))
    monkeypatch.setattr(build, "LIBRARY", foreign)
    host.load_plane(tmp_path)
    assert (tmp_path / "libvosmedia.so").exists()


def test_a_node_that_can_do_neither_says_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "LIBRARY", tmp_path / "absent.so")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        RelayError, match=r"does not load: .*absent\.so.*cannot be compiled here: no C compiler"
    ):
        host.load_plane(tmp_path)


def test_the_build_says_what_the_compiler_said(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.c").write_text("int f(void) { return x; }\n")
    with pytest.raises(build.BuildError, match=r"a\.c:1:22: error: "):
        build.compile(tmp_path / "out.so", sources=broken)
    assert list(tmp_path.iterdir()) == [broken]
