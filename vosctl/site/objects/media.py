"""Builds QoS marks, jitter buffer profiles and media defaults."""

from __future__ import annotations

from collections.abc import Mapping

from vosctl.site.model import JitterBuffer, Media, ProxyMode, Qos
from vosctl.site.objects.fields import Fields
from vosctl.site.objects.scalars import parse_dscp
from vosctl.site.suggest import did_you_mean, listed

SHORTEST_BUFFER = 10
LONGEST_BUFFER = 400

Buffers = Mapping[str, "JitterBuffer | None"]

# What is assumed where a layer removed the packaged default with null.
_FALLBACK_BUFFER = JitterBuffer("wan", adaptive=True, minimum=20, maximum=200, start=60)
_CS3, _EF = 24, 46
_PTIME = 20
_CALLS = 2000


def build_qos(fields: Fields) -> Qos:
    """Return the node's DSCP marks."""
    signalling = fields.parsed("signalling", parse_dscp)
    media = fields.parsed("media", parse_dscp)
    return Qos(_CS3 if signalling is None else signalling, _EF if media is None else media)


def build_buffers(profiles: Fields) -> Buffers:
    """Return the jitter buffer profiles by name, None for a wrong one, which is a problem."""
    return {name: _buffer(name, entry) for name, entry in profiles.entries()}


def build_media(fields: Fields, buffers: Buffers) -> Media:
    """Return the node's media defaults."""
    return Media(
        proxy=build_proxy(fields) or ProxyMode.MUST_ON,
        jitter=choose_buffer(fields, buffers) or _FALLBACK_BUFFER,
        ptime=fields.integer("ptime") or _PTIME,
        calls=fields.integer("calls") or _CALLS,
    )


def build_proxy(fields: Fields) -> ProxyMode | None:
    """Return the media proxy mode under ``proxy``, if one is given."""
    text = fields.text("proxy")
    return next((mode for mode in ProxyMode if mode.value == text), None)


def choose_buffer(fields: Fields, buffers: Buffers) -> JitterBuffer | None:
    """Return the profile that ``jitter`` names, if it is given and known."""
    name = fields.text("jitter")
    if name is None:
        return None
    if name not in buffers:
        message = f"no jitter buffer is named '{name}'{did_you_mean(name, buffers)}"
        hint = f"known: {listed(buffers)}; others are defined in media.jitter_buffers"
        fields.error("unknown-jitter-buffer", message, key="jitter", hint=hint)
    return buffers.get(name)


def _buffer(name: str, fields: Fields) -> JitterBuffer | None:
    adaptive = fields.text("mode") != "fixed"
    start = fields.integer("start")
    minimum, maximum = fields.integer("min"), fields.integer("max")
    if not adaptive:
        minimum, maximum = (start if minimum is None else minimum), (start if maximum is None else maximum)
    missing = [key for key, value in (("min", minimum), ("max", maximum), ("start", start)) if value is None]
    if minimum is None or maximum is None or start is None:
        absent = [key for key in missing if key not in fields]
        if absent:
            hint = "an adaptive buffer has min, max and start in milliseconds; a fixed one has start"
            fields.error("jitter-incomplete", f"the jitter buffer '{name}' lacks {listed(absent)}", hint=hint)
        return None
    _check_bounds(fields, minimum, maximum, start)
    return JitterBuffer(name, adaptive=adaptive, minimum=minimum, maximum=maximum, start=start)


def _check_bounds(fields: Fields, minimum: int, maximum: int, start: int) -> None:
    if minimum < SHORTEST_BUFFER:
        message = f"min {minimum} ms is shorter than a packet: {SHORTEST_BUFFER} ms is the least"
        hint = "a buffer that holds less than one packet cannot put packets in order"
        fields.error("jitter-bounds", message, key="min" if "min" in fields else "start", hint=hint)
    if maximum > LONGEST_BUFFER:
        message = f"max {maximum} ms is too long: {LONGEST_BUFFER} ms is the most"
        hint = "beyond that people talk into each other and hear the delay as echo"
        fields.error("jitter-bounds", message, key="max" if "max" in fields else "start", hint=hint)
    if minimum > maximum:
        fields.error("jitter-bounds", f"min {minimum} ms is above max {maximum} ms", key="min")
    elif not minimum <= start <= maximum:
        message = f"start {start} ms is not between min {minimum} and max {maximum} ms"
        fields.error(
            "jitter-bounds",
            message,
            key="start",
            hint="a call begins with start and moves within min and max",
        )
