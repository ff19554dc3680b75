"""IP addresses from text, remembered: a relay meets the same few thousand again and again."""

from __future__ import annotations

import functools
import ipaddress
from typing import Union

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


@functools.lru_cache(maxsize=4096)
def ip_address(text: str) -> Address:
    """Return the address that ``text`` says. Raises ``ValueError``."""
    return ipaddress.ip_address(text)
