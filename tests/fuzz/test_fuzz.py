"""The fuzzers run and find nothing in a moment (``make fuzz`` gives them longer), and can find something."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import dialogue
import pytest
import text_fuzz

from vosctl.relay.control import bencode, sdp, wav

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.requires("clang")
def test_a_moment_of_each_finds_nothing(tmp_path: Path) -> None:
    environment = {
        **os.environ, "SECONDS_EACH": "3", "VENV": str(Path(sys.prefix)), "ARTIFACTS": str(tmp_path),
    }  # fmt: skip
    done = subprocess.run(
        [ROOT / "scripts" / "fuzz.sh"], check=False, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("nothing found") == 4
    assert not list(tmp_path.iterdir())


def test_what_a_parser_must_not_raise_is_reported(monkeypatch, capsys) -> None:
    def fragile(data: bytes) -> None:
        if b"\0" in data:
            raise IndexError("planted")

    monkeypatch.setattr(text_fuzz, "TARGETS", (fragile,))
    assert text_fuzz.main(["20", "1"]) == 1
    assert "fragile, seed 1: b'" in capsys.readouterr().out


def test_the_seeds_are_what_the_parsers_take() -> None:
    """A generator that grows from what every parser refuses at its first byte finds nothing, ever."""
    seeds = text_fuzz.seeds()
    taken = {"messages": 0, "descriptions": 0, "sounds": 0, "dialogues": 0}
    for seed in seeds:
        with contextlib.suppress(bencode.BencodeError):
            taken["messages"] += isinstance(bencode.decode(seed), dict)
        with contextlib.suppress(sdp.SdpError):
            taken["descriptions"] += bool(sdp.parse(seed.decode(errors="replace")).media)
        with contextlib.suppress(wav.WavError):
            taken["sounds"] += bool(wav.convert(seed, "pcma"))
        taken["dialogues"] += seed.startswith(dialogue.MARK)
        text_fuzz.every_target(seed)
    assert taken["messages"] >= 5
    assert taken["descriptions"] >= 30
    assert taken["sounds"] >= 4
    assert taken["dialogues"] >= 10


def test_a_seed_gives_the_same_cases() -> None:
    first, second = (
        [text_fuzz.bend(b"v=0\r\nm=audio 1 RTP/AVP 0\r\n", chance) for _ in range(50)]
        for chance in (text_fuzz.random.Random(4), text_fuzz.random.Random(4))
    )
    assert first == second
    assert len(set(first)) > 25
