"""The kernel's path of the media process: opened once, with its capabilities, and used as the site says."""

from __future__ import annotations

import ctypes as c
import logging
import os
from typing import Sequence

from vosctl.relay.media import layout
from vosctl.relay.media.plane import Plane

PLACES_MOST = 65536  # directions; a place takes about 270 bytes of memory
_LOG = logging.getLogger(__name__)


class KernelPath:
    """Whether settled streams are forwarded by the kernel, and how many are."""

    def __init__(self, plane: Plane) -> None:
        self._c = plane.handle
        self._c.vos_kernel_inside.restype = c.c_uint32
        self._refused = "it was not asked for when media started: restart the relay"
        self._opened = self._told = False
        self.used = False

    def open(self, addresses: Sequence[str], *, file_limit: int) -> None:
        """Attach to the devices that hold ``addresses``. Where that cannot be, a line in the log says why."""
        places = min(PLACES_MOST, max(2, file_limit // 2))
        packed = b"".join(layout.address(each.partition("%")[0]) for each in addresses)
        step = c.c_char_p()
        done = self._c.vos_kernel_open(packed, len(addresses), places, c.byref(step))
        if done < 0:
            what = (step.value or b"").decode()
            self._refused = f"{what}: {os.strerror(-done)}"
            self._tell()
            return
        self._opened = True
        _LOG.info("kernel_path: attached to %d devices, room for %d directions", done, places)

    def use(self, *, on: bool) -> None:
        """Let settled streams enter, or have all of them leave, each within a second."""
        wanted = on and self._opened
        if on and not wanted:
            self._tell()
        if wanted != self.used:
            self._c.vos_kernel_use(int(wanted))
            _LOG.info("kernel_path: %s", "on" if wanted else "off")
        self.used = wanted
        self._told = self._told and on

    @property
    def inside(self) -> int:
        """The directions that the kernel forwards at present."""
        return int(self._c.vos_kernel_inside())

    def _tell(self) -> None:
        if not self._told:
            _LOG.warning("kernel_path: media goes on without: %s", self._refused)
        self._told = True
