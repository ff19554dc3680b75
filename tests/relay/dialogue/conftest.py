"""The network of a caller, a proxy with its relay, and a callee."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Kamailio and the relay, ready for calls; every test leaves the relay without calls."""
    lab = Lab(tmp_path_factory.mktemp("lab"))
    try:
        lab.until(lab.paths.control_socket.exists)
        lab.proxy_up()
        yield lab
        assert lab.ask("status")["calls"] == 0
    finally:
        lab.close()
