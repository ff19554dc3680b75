"""The fuzzers run and find nothing in a moment (``make fuzz`` gives them longer), and can find something."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import text_fuzz

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
    assert done.stdout.count("nothing found") == 2
    assert not list(tmp_path.iterdir())


def test_what_a_parser_must_not_raise_is_reported(monkeypatch, capsys) -> None:
    def fragile(data: bytes) -> None:
        if b"\0" in data:
            raise IndexError("planted")

    monkeypatch.setattr(text_fuzz, "TARGETS", (fragile,))
    assert text_fuzz.main(["20", "1"]) == 1
    assert "fragile, seed 1: b'" in capsys.readouterr().out


def test_a_seed_gives_the_same_cases() -> None:
    first, second = (
        [text_fuzz.bend(b"v=0\r\nm=audio 1 RTP/AVP 0\r\n", chance) for _ in range(50)]
        for chance in (text_fuzz.random.Random(4), text_fuzz.random.Random(4))
    )
    assert first == second
    assert len(set(first)) > 25
