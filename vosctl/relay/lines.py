"""JSON texts of one line, as control and media tell each other: the C parts of ``json``, made once and not for each."""

from __future__ import annotations

import json
from json import encoder
from typing import Any, Callable

_slow = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_read = json.JSONDecoder().raw_decode


def _writer() -> Callable[[Any], str]:
    """Return what ``JSONEncoder.encode`` makes for itself at every call; that again where this Python has it not."""
    make: Any = getattr(encoder, "c_make_encoder", None)
    try:
        write = make(None, _unknown, encoder.encode_basestring_ascii, None, ":", ",", False, False, True)
        if "".join(write({"a": [1, None]}, 0)) == '{"a":[1,null]}':
            return lambda value: "".join(write(value, 0))
    except TypeError:
        pass
    return _slow


def _unknown(value: Any) -> Any:
    raise TypeError(f"{type(value).__name__} is no JSON")


encode: Callable[[Any], str] = _writer()


def decode(line: str) -> Any:
    """Return the value of one JSON text. Raises ``ValueError``."""
    try:
        value, end = _read(line)
    except ValueError:
        end = -1
    # With blanks around it, or wrong: the long way knows which.
    return value if end == len(line) else json.loads(line)
