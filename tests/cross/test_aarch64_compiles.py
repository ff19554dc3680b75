"""The data plane compiles for aarch64, with every warning an error."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from vosctl.relay.media import build

COMPILER = "aarch64-linux-gnu-gcc"
_AARCH64 = 183  # e_machine (elf(5))

pytestmark = pytest.mark.requires(COMPILER)


def test_it_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "compiler", lambda: shutil.which(COMPILER))
    made = build.compile(tmp_path / "libvosmedia.so")
    assert int.from_bytes(made.read_bytes()[18:20], "little") == _AARCH64
