"""What this installation of the relay lacks: a data plane that loads on this machine."""

from __future__ import annotations

from pathlib import Path

# Written where the release is unpacked, by media/build.py --ensure.
_NOTE = Path(__file__).resolve().parent / "media" / "libvosmedia.missing"


def data_plane() -> str:
    """Return in one line why there is no data plane, "" where there is one."""
    try:
        return " ".join(_NOTE.read_text(errors="replace").split()) or "no data plane"
    except OSError:
        return ""
