"""Sound as G.711: WAV files that a call is to hear, and the tones of digits where an end knows no telephone-event."""

from __future__ import annotations

import math
import os
import stat
import struct
import sys
from array import array
from functools import lru_cache
from typing import Dict, List, Sequence, Tuple

RATE = 8000
MAX_BYTES = 64 << 20
MAX_SECONDS = 300
LAWS = {"pcmu": 0, "pcma": 8}  # their static payload types (RFC 3551 §6)
_PCM, _ALAW, _MULAW, _EXTENSIBLE = 1, 6, 7, 0xFFFE
_LAW_FORMATS = {_ALAW: "pcma", _MULAW: "pcmu"}
# ITU-T Q.23: the low and the high tone of each digit, in the order of RFC 4733's codes.
_LOW, _HIGH = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
_GRID = ("123A", "456B", "789C", "*0#D")
DIGITS = "0123456789*#ABCD"


class WavError(ValueError):
    """The file is no WAV that can be played; the message says why."""


def load(path: str, law: str) -> bytes:
    """Return the sound of the WAV file as 8,000 bytes a second of ``law`` (pcma, pcmu). Raises ``WavError``."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise WavError(f"{path[:200]}: {getattr(error, 'strerror', None) or error}") from None
    with os.fdopen(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise WavError(f"{path[:200]}: not a regular file")
        data = opened.read(MAX_BYTES + 1)
    return convert(data, law)


def convert(data: bytes, law: str) -> bytes:
    """Return the sound of a WAV file's bytes, like ``load``. Raises ``WavError``."""
    if len(data) > MAX_BYTES:
        raise WavError(f"longer than {MAX_BYTES} bytes")
    chunks = _chunks(data)
    if len(chunks.get(b"fmt ", b"")) < 16 or b"data" not in chunks:
        raise WavError("not a WAV file: no fmt or no data chunk")
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunks[b"fmt "])
    if kind == _EXTENSIBLE and len(chunks[b"fmt "]) >= 26:
        kind = struct.unpack_from("<H", chunks[b"fmt "], 24)[0]
    if not 1 <= channels <= 8 or not 4000 <= rate <= 192_000:
        raise WavError(
            f"{channels} channels at {rate} Hz: 1 to 8 channels at 4,000 to 192,000 Hz can be played"
        )
    samples = _mono(_samples(chunks[b"data"], kind, bits), channels)
    if len(samples) > MAX_SECONDS * rate:
        raise WavError(f"longer than {MAX_SECONDS} s")
    if not samples:
        raise WavError("no sound in it")
    return encode(_resampled(samples, rate), law)


def encode(samples: Sequence[int], law: str) -> bytes:
    """Return 16-bit samples as G.711 (ITU-T G.711 tables 1 and 2)."""
    table = _encoder(law)
    return bytes(table[sample & 0xFFFF] for sample in samples)


def tones(digits: Sequence[Tuple[int, int, int, int]], law: str) -> bytes:
    """Return digits ``(code, -dBm0, duration, pause)``, times in samples, as dual tones and silence."""
    samples: List[int] = []
    for code, volume, duration, pause in digits:
        low, high = _tone_pair(code)
        # ITU-T G.711: full scale is +3.14 dBm0, and each tone has half of the power.
        peak = 32767 * 10 ** (-(volume + 3.14 + 3) / 20)
        samples += [
            round(peak * (math.sin(2 * math.pi * low * n / RATE) + math.sin(2 * math.pi * high * n / RATE)))
            for n in range(duration)
        ]
        samples += [0] * pause
    return encode(samples, law)


def _tone_pair(code: int) -> Tuple[int, int]:
    digit = DIGITS[code]
    row = next(number for number, line in enumerate(_GRID) if digit in line)
    return _LOW[row], _HIGH[_GRID[row].index(digit)]


def _chunks(data: bytes) -> Dict[bytes, bytes]:
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise WavError("not a WAV file: it does not begin with RIFF … WAVE")
    found: Dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        found.setdefault(name, data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    return found


def _samples(data: bytes, kind: int, bits: int) -> "array[int]":
    if kind == _PCM and bits == 8:
        return array("h", ((byte - 128) << 8 for byte in data))
    if kind == _PCM and bits == 16:
        samples = array("h")
        samples.frombytes(data[: len(data) // 2 * 2])
        if sys.byteorder == "big":
            samples.byteswap()
        return samples
    if kind in _LAW_FORMATS and bits == 8:
        table = _decoder(_LAW_FORMATS[kind])
        return array("h", (table[byte] for byte in data))
    raise WavError(f"format {kind} with {bits} bits: PCM of 8 or 16 bits, A-law and µ-law can be played")


def _mono(samples: "array[int]", channels: int) -> "array[int]":
    if channels == 1:
        return samples
    whole = len(samples) // channels * channels
    parts = [samples[at:whole:channels] for at in range(channels)]
    return array("h", (sum(group) // channels for group in zip(*parts)))  # noqa: B905 (Python 3.9 has no strict=)


def _resampled(samples: "array[int]", rate: int) -> "array[int]":
    """Return the samples at 8,000 Hz: each the mean of those whose time it takes."""
    if rate == RATE:
        return samples
    result = array("h")
    for at in range(len(samples) * RATE // rate):
        start, end = at * rate // RATE, (at + 1) * rate // RATE
        result.append(sum(samples[start : max(end, start + 1)]) // max(end - start, 1))
    return result


@lru_cache(maxsize=2)
def _decoder(law: str) -> List[int]:
    return [_decode_a(code) if law == "pcma" else _decode_mu(code) for code in range(256)]


def _decode_a(code: int) -> int:
    plain = code ^ 0x55
    exponent, mantissa = plain >> 4 & 7, plain & 15
    value = ((mantissa << 4) + 0x108) << (exponent - 1) if exponent else (mantissa << 4) + 8
    return value if plain & 0x80 else -value


def _decode_mu(code: int) -> int:
    plain = ~code & 0xFF
    value = (((plain & 15) << 3) + 0x84 << (plain >> 4 & 7)) - 0x84
    return -value if plain & 0x80 else value


@lru_cache(maxsize=2)
def _encoder(law: str) -> bytes:
    encode_one = _encode_a if law == "pcma" else _encode_mu
    return bytes([encode_one(value if value < 32768 else value - 65536) for value in range(65536)])


def _encode_mu(sample: int) -> int:
    value = min(abs(sample), 32635) + 0x84
    exponent = value.bit_length() - 8
    code = exponent << 4 | (value >> (exponent + 3) & 15)
    return ~(code | (0x80 if sample < 0 else 0)) & 0xFF


def _encode_a(sample: int) -> int:
    value = min(sample if sample >= 0 else ~sample, 32767)
    exponent = max(value.bit_length() - 8, 0)
    mantissa = value >> (exponent + 3 if exponent else 4) & 15
    return (exponent << 4 | mantissa | (0x80 if sample >= 0 else 0)) ^ 0x55
