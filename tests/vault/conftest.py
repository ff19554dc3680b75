"""A file that was sealed once."""

from __future__ import annotations

import pytest
from vault_case import seal


@pytest.fixture(scope="session")
def sealed() -> str:
    return seal()
