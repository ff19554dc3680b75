"""Frames and byte streams over real pipes."""

from __future__ import annotations

import contextlib
import struct
import sys
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vosctl.push import channel
from vosctl.push.channel import Channel, ChannelEndedError, ChannelError, ChannelTimeoutError, decode, encode
from vosctl.push.local import LocalTransport

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(), JSON), st.text())
def test_frames_come_back_as_they_went(fields, operation):
    frame = {**fields, "op": operation}
    assert decode(encode(frame)[4:]) == frame


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_are_a_frame_or_a_channel_error(body):
    with contextlib.suppress(ChannelError):
        assert isinstance(decode(body)["op"], str)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        zlib.compress(b"{}"),
        zlib.compress(b'{"op": 1}'),
        zlib.compress(b'{"op": "x"}')[:-3],
        zlib.compress(b"[" * 100000 + b"]" * 100000),
        zlib.compress(b'{"op": "\xff"}'),
    ],
)
def test_what_is_no_frame(body):
    with pytest.raises(ChannelError):
        decode(body)


def test_too_long_frames_are_refused_on_both_sides(monkeypatch):
    monkeypatch.setattr(channel, "MAX_FRAME", 100)
    with pytest.raises(ChannelError, match="too long"):
        encode({"op": "".join(chr(1000 + i) for i in range(1000))})


def started(script: str, *, timeout: float = 20.0) -> Channel:
    return Channel(LocalTransport("here").open([sys.executable, "-c", script]), timeout=timeout)


BOTH_WAYS = """
import struct, sys
sys.stdout.buffer.write(b"o" * SIZE)
sys.stderr.write("e" * SIZE)
sys.stdout.buffer.write(struct.pack(">I", len(sys.stdin.buffer.read(SIZE))))
"""


def test_both_sides_may_send_a_lot_at_once():
    size = 3_000_000
    running = started(BOTH_WAYS.replace("SIZE", str(size)))
    running.send(b"i" * size)
    assert running.receive(size) == b"o" * size
    assert struct.unpack(">I", running.receive(4)) == (size,)
    assert running.exit_status() == 0
    assert len(running.stderr()) == channel.STDERR_KEPT
    running.close()


def test_command_that_ends_while_it_is_sent_to():
    running = started("import sys; print('done', flush=True); sys.exit(3)")
    running.send(b"i" * 3_000_000)
    assert running.receive_line() == b"done"
    with pytest.raises(ChannelEndedError):
        running.receive(1)
    assert running.exit_status() == 3
    running.close()


def test_command_that_reads_nothing_runs_out_of_time(monkeypatch):
    monkeypatch.setattr("vosctl.push.local.END_PATIENCE", 0.2)
    running = started("import time; time.sleep(60)", timeout=0.5)
    with pytest.raises(ChannelTimeoutError, match=r"within 0.5 s"):
        running.send(b"i" * 3_000_000)
    running.close()


def test_close_ends_a_command_that_goes_on_by_itself(monkeypatch):
    monkeypatch.setattr("vosctl.push.local.END_PATIENCE", 0.2)
    running = started("import signal, time; print('up', flush=True); time.sleep(60)")
    assert running.receive_line() == b"up"
    running.close()
    assert running.exit_status() == -9
    running.close()


def test_escape_sequences_on_stderr_are_told_as_text():
    running = started("import sys; sys.stderr.write('\\x1b]0;owned\\x07')")
    with pytest.raises(ChannelEndedError):
        running.receive(1)
    assert running.stderr() == "\\x1b]0;owned\\x07"
    running.close()
