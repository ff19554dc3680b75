"""The demo's loopback addresses: one test at a time has them, whichever process runs it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def held(factory: pytest.TempPathFactory) -> Iterator[None]:
    base = factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    with (shared / "loopback.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def loopback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with held(tmp_path_factory):
        yield


@pytest.fixture(scope="module")
def loopback_for_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For relays that several tests use."""
    with held(tmp_path_factory):
        yield
