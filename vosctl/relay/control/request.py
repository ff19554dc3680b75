"""An NG request, read once: names normalised, fields bounded, everything else refused with a reason."""

from __future__ import annotations

import functools
from typing import Any, Dict, FrozenSet, List, NamedTuple, Optional

from vosctl.relay.control.addresses import ip_address

MAX_ID = 512
MAX_FLAGS = 64
_NONE: FrozenSet[str] = frozenset()


class RefusalError(Exception):
    """The request is answered with ``result=error`` and this text as ``error-reason``."""


class LoadLimitError(Exception):
    """The request is answered with ``load limit``, so that the proxy tries its next relay."""


@functools.lru_cache(maxsize=1024)
def normal(name: str) -> str:
    """Return a key or flag in the one spelling: a space is a hyphen, case does not matter."""
    return name.strip().replace(" ", "-").lower()


class Request(NamedTuple):
    """A request's fields, with ``values`` holding every ``key=value`` in its normal spelling."""

    command: str
    call_id: str
    from_tag: str
    to_tag: str
    via_branch: str
    sdp: str
    source: Optional[str]
    advertised: str
    flags: FrozenSet[str]
    replace: FrozenSet[str]
    values: Dict[str, Any]

    def text(self, name: str) -> str:
        """Return the value of key ``name`` as text, empty when it is absent."""
        value = self.values.get(name, "")
        return str(value) if isinstance(value, (str, int)) else ""

    def words(self, name: str) -> FrozenSet[str]:
        """Return a key's list (or single word), each in its normal spelling."""
        value = self.values.get(name)
        return frozenset(map(normal, _strings(value))) if value else _NONE


def read(message: Dict[str, Any]) -> Request:
    """Return the request in ``message``. Raises ``RefusalError``."""
    values = {normal(key): value for key, value in message.items()}
    flags = _flags(values)
    replace = [word[len("replace-") :] for word in flags if word.startswith("replace-")]
    replace += map(normal, _strings(values.get("replace")))
    return Request(
        command=normal(_field(values, "command")),
        call_id=_field(values, "call-id"),
        from_tag=_field(values, "from-tag"),
        to_tag=_field(values, "to-tag"),
        via_branch=_field(values, "via-branch"),
        sdp=_sdp(values),
        source=_source(values.get("received-from")),
        advertised=_advertised(values),
        flags=frozenset(flags) if flags else _NONE,
        replace=frozenset(replace) if replace else _NONE,
        values=values,
    )


def _strings(value: Any) -> List[str]:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        return []
    return [item for item in value[:MAX_FLAGS] if isinstance(item, str)]


def _flags(values: Dict[str, Any]) -> List[str]:
    """Return the bare flags; a ``key=value`` among them becomes a key unless that key is there."""
    bare: List[str] = []
    if "flags" not in values:
        return bare
    for word in _strings(values.get("flags")):
        key, equals, value = word.partition("=")
        if equals:
            values.setdefault(normal(key), value)
        else:
            bare.append(normal(word))
    return bare


def _field(values: Dict[str, Any], name: str) -> str:
    text = values.get(name, "")
    if type(text) is not str:
        if not isinstance(text, int):
            raise RefusalError(f"{name} is not a string")
        text = str(text)
    if len(text) > MAX_ID:
        raise RefusalError(f"{name} is longer than {MAX_ID} characters")
    return text


def _sdp(values: Dict[str, Any]) -> str:
    value = values.get("sdp", "")
    if not isinstance(value, str):
        raise RefusalError("Failed to parse SDP")
    return value


def _advertised(values: Dict[str, Any]) -> str:
    """Return the address that descriptions are to show in the place of the relay's own, or nothing."""
    text = _field(values, "media-address")
    try:
        return _same(text) if text else ""
    except ValueError:
        raise RefusalError("media-address is no IP address") from None


@functools.lru_cache(maxsize=4096)
def _same(text: str) -> str:
    """Return the address as it is always written. Raises ``ValueError``."""
    return str(ip_address(text))


def _source(value: Any) -> Optional[str]:
    """Return the address in ``["IP4", address]``, the SIP source that a proxy sends along."""
    words = [word for item in _strings(value) for word in item.split()]
    if not words:
        return None
    try:
        return _same(words[-1].strip("[]"))
    except ValueError:
        raise RefusalError("received-from holds no IP address") from None
