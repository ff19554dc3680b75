"""Audio for the demo's call: a voice-like WAV file, and G.711 A-law (ITU-T G.711) both ways."""

from __future__ import annotations

import math
import wave
from array import array
from collections.abc import Sequence
from pathlib import Path

RATE = 8000
FRAME = 160  # 20 ms

# Vowels as the centres of their first two formants (Hz): a, e, i, o, u.
_VOWELS = ((730, 1090), (530, 1840), (270, 2290), (570, 840), (300, 870))
_SYLLABLE = 0.22
_PITCH = 118.0
_HARMONICS = 24
_SEGMENT_ENDS = (0x1F, 0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF, 0xFFF)


def speak(path: Path, seconds: float, *, seed: int = 0) -> None:
    """Write syllables of a synthetic voice as a mono 16-bit WAV; the same arguments give the same bytes."""
    samples = array("h", (_sample(index / RATE, seed) for index in range(int(seconds * RATE))))
    write(path, samples)


def write(path: Path, samples: Sequence[int]) -> None:
    """Write 16-bit samples as a mono WAV of 8,000 samples a second."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(array("h", samples).tobytes())


def read(path: Path) -> array[int]:
    """Return the samples of a WAV file; raises ValueError unless it is mono, 16 bit, 8,000 a second."""
    with wave.open(str(path), "rb") as file:
        shape = (file.getnchannels(), file.getsampwidth(), file.getframerate())
        if shape != (1, 2, RATE):
            raise ValueError(f"{path}: channels, bytes a sample and rate are {shape}, not {(1, 2, RATE)}")
        return array("h", file.readframes(file.getnframes()))


def encode(samples: Sequence[int]) -> bytes:
    """Return G.711 A-law, one byte a 16-bit sample."""
    return bytes(map(_encode, samples))


def decode(data: bytes) -> array[int]:
    """Return 16-bit samples of G.711 A-law bytes."""
    return array("h", (_DECODED[byte] for byte in data))


def frames(data: bytes) -> list[bytes]:
    """Return encoded audio cut into frames of 20 ms; what is left over at the end is dropped."""
    return [data[start : start + FRAME] for start in range(0, len(data) - FRAME + 1, FRAME)]


def _sample(time: float, seed: int) -> int:
    syllable = int(time / _SYLLABLE) + seed
    phase = (time % _SYLLABLE) / _SYLLABLE
    if syllable % 7 == 6:  # a pause between words, with the line's faint hum
        return round(24 * math.sin(2 * math.pi * 50 * time))
    first, second = _VOWELS[(syllable * 3 + seed) % len(_VOWELS)]
    pitch = _PITCH * (1 + 0.06 * math.sin(2 * math.pi * 0.7 * time))
    voice = 0.0
    for harmonic in range(1, _HARMONICS + 1):
        frequency = harmonic * pitch
        gain = math.exp(-(((frequency - first) / 140) ** 2)) + 0.5 * math.exp(
            -(((frequency - second) / 200) ** 2)
        )
        voice += (gain + 0.02) * math.sin(2 * math.pi * harmonic * _PITCH * time)
    return max(-32000, min(32000, round(9000 * math.sin(math.pi * phase) * voice)))


def _encode(sample: int) -> int:
    # The 13 significant bits; a negative value counts from -1 down, so that both signs have eight segments.
    value = sample >> 3
    mask = 0xD5
    if value < 0:
        mask, value = 0x55, -value - 1
    segment = next(index for index, end in enumerate(_SEGMENT_ENDS) if value <= end)
    step = value >> (max(1, segment)) & 0x0F
    return (segment << 4 | step) ^ mask


def _decode(byte: int) -> int:
    code = byte ^ 0x55
    segment = code >> 4 & 0x07
    value = (code & 0x0F) * 16 + 8
    if segment:
        value = (value + 256) << (segment - 1)
    return value if code & 0x80 else -value


_DECODED = tuple(map(_decode, range(256)))
