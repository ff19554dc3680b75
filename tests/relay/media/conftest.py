"""The compiled data plane, and a media process for each test that asks for one."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from media_driver import Media, Phone

from vosctl.relay.media import build


@pytest.fixture(scope="session")
def library() -> Path:
    if not build.fresh(build.LIBRARY):
        build.compile(build.LIBRARY)
    return build.LIBRARY


@pytest.fixture(scope="session")
def dataplane(library: Path) -> Any:
    return ctypes.CDLL(str(library))


@pytest.fixture
def start(library: Path, tmp_path: Path) -> Iterator[Callable[..., Media]]:
    """Starts media processes, and stops what still runs."""
    with ExitStack() as stack:

        def begin(**options: Any) -> Media:
            run = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
            run.mkdir()
            media = Media(run, **options)
            stack.callback(media.stop)
            media.configure()
            return media

        yield begin


@pytest.fixture
def media(start: Callable[..., Media]) -> Media:
    return start()


@pytest.fixture
def phone() -> Iterator[Callable[..., Phone]]:
    """Makes telephones, and hangs them up."""
    with ExitStack() as stack:

        def make(*args: Any, **options: Any) -> Phone:
            made = Phone(*args, **options)
            stack.callback(made.close)
            return made

        yield make
