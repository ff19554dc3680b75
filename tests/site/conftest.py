"""Generated tests may take their time on a busy machine: no deadline for a single example."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
