from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "compile"))
sys.path.insert(0, str(Path(__file__).parent))

from packet_lab import Lab
from site_samples import two_edges

from vosctl.compile.site import compile_site


@pytest.fixture(scope="session", params=["nft", "legacy"])
def bare_lab(request):
    lab = Lab(request.param)
    try:
        yield lab.start()
    finally:
        lab.stop()


@pytest.fixture(scope="session")
def edge_a():
    """The sample node with gateways of every authentication mode, compiled."""
    return compile_site(two_edges(), release=None)["edge-a"]


@pytest.fixture
def lab(bare_lab, edge_a):
    """A lab whose node runs the sample's rules."""
    bare_lab.use(edge_a)
    yield bare_lab
    bare_lab.close()
