"""The C part of the lookup, where it was compiled: None where it was not, and then Python does the same."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path

LIBRARY = Path(__file__).resolve().parent / "libvosrates.so"
_POINTER = ctypes.c_void_p
_TEXT = ctypes.c_char_p
BUCKETS = 65537


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """Return the library with its functions' types set, or None."""
    try:
        loaded = ctypes.CDLL(str(LIBRARY))
    except OSError:
        return None
    loaded.vos_lpm_parents.argtypes = (_TEXT, ctypes.c_uint32, _POINTER)
    loaded.vos_lpm_parents.restype = ctypes.c_uint32
    loaded.vos_lpm_buckets.argtypes = (_TEXT, ctypes.c_uint32, _POINTER)
    loaded.vos_lpm_buckets.restype = None
    size = ctypes.c_uint64
    loaded.vos_lpm_find.argtypes = (_TEXT, _POINTER, _POINTER, _TEXT, size, size, _POINTER)
    loaded.vos_lpm_find.restype = size
    loaded.vos_lpm_find_keys.argtypes = (_TEXT, _POINTER, _POINTER, _TEXT, size, _POINTER)
    loaded.vos_lpm_find_keys.restype = None
    return loaded
