"""A fleet of two hosts for the tests of this folder, and a way to run code where they can be reached."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from vosctl.fleet import Fleet, HostSpec


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Hosts edge-a and edge-b with sshd on port 22; root logs in with the fleet's key."""
    hosts = (HostSpec("edge-a", "10.231.0.2"), HostSpec("edge-b", "10.231.0.3"))
    with Fleet.up(hosts, tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet


@pytest.fixture
def there(fleet: Fleet) -> Callable[..., Any]:
    """Return a function that calls another one on the controller's network, threads it starts included."""
    return lambda function, *args, **kwargs: fleet.inside(None, lambda: function(*args, **kwargs))


@pytest.fixture(params=["paramiko", "asyncssh", "held"])
def transport(request: pytest.FixtureRequest) -> str:
    """The name of each transport in turn; ``options`` knows ``held``: paramiko, and connections held for later."""
    if request.param == "held":
        request.getfixturevalue("sockets")
    return str(request.param)


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which held connections have their sockets; they end with the test."""
    with TemporaryDirectory(prefix="vosctl-", dir="/tmp") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        folder = Path(runtime, "vosctl/ssh")
        yield folder
        for path in folder.glob("*"):
            subprocess.run(["ssh", "-S", path, "-O", "exit", "any"], capture_output=True, check=False)
