"""Two seconds of what telephones carry, as G.711 (encoded here from the standard's tables, not by the product)."""

from __future__ import annotations

import bisect
import cmath
import functools
import itertools
import math
import random
from collections.abc import Callable, Iterator

PACKETS, SIZE = 100, 160
LENGTH = PACKETS * SIZE
Samples = list[float]


def _alaw(code: int) -> int:
    plain = code ^ 0x55
    exponent, mantissa = plain >> 4 & 7, plain & 15
    value = (2 * mantissa + 1) * 8 if exponent == 0 else (2 * mantissa + 33) * 8 << (exponent - 1)
    return value if plain & 0x80 else -value


def _ulaw(code: int) -> int:
    plain = code ^ 0xFF
    value = ((2 * (plain & 15) + 33) << (plain >> 4 & 7)) - 33
    return -4 * value if plain & 0x80 else 4 * value


DECODERS: dict[int, Callable[[int], int]] = {8: _alaw, 0: _ulaw}
_SORTED = {pt: sorted((decode(code), code) for code in range(256)) for pt, decode in DECODERS.items()}


def encode(samples: Samples, pt: int) -> bytes:
    """G.711 of 16-bit samples: the code with the nearest value; payload type 8 is A-law, 0 is µ-law."""
    table = _SORTED[pt]
    values = [value for value, _ in table]
    out = bytearray()
    for sample in samples:
        at = min(max(bisect.bisect(values, sample), 1), 255)
        out.append(table[at - (sample - values[at - 1] < values[at] - sample)][1])
    return bytes(out)


def noise(level: float, chance: random.Random) -> Samples:
    return [chance.gauss(0, level) for _ in range(LENGTH)]


def tones(*frequencies: float, level: float = 10_000, length: int = LENGTH) -> Samples:
    steps = [(2 * math.pi * frequency / 8000, 0.7 * n) for n, frequency in enumerate(frequencies)]
    return [level * sum(math.sin(w * n + p) for w, p in steps) / len(steps) for n in range(length)]


def cut(pieces: Iterator[Samples]) -> Samples:
    return list(itertools.islice(itertools.chain.from_iterable(pieces), LENGTH))


def speech(chance: random.Random, level: float = 6000, *, pauses: bool = True) -> Samples:
    """Pitch pulses through wandering formants, hiss between them, and pauses, as in speech."""

    def sounds() -> Iterator[Samples]:
        while True:
            kind = chance.choice("vvvup" if pauses else "vvu")
            yield [level * 10 ** chance.uniform(-1, 0) * one for one in _sound(chance, kind)]

    return cut(sounds())


def _sound(chance: random.Random, kind: str) -> Samples:
    length = chance.randrange(400, 2400)
    if kind != "v":
        return [chance.gauss(0, 0.3 if kind == "u" else 0.001) for _ in range(length)]
    pitch = chance.uniform(90, 250) / 8000
    formants = [(chance.uniform(*span), width) for span, width in (((250, 800), 80), ((900, 2300), 120))]
    out = [0.0] * length
    for order, (frequency, width) in enumerate(formants, 1):
        radius = math.exp(-math.pi * width / 8000)
        turn, one, two = 2 * radius * math.cos(2 * math.pi * frequency / 8000), 0.0, 0.0
        for n in range(length):
            pulse = 8.0 if (n + 1) * pitch % 1 < pitch else chance.gauss(0, 0.05)
            one, two = pulse * (1 - radius) + turn * one - radius * radius * two, one
            out[n] += one / order
    return out


def music(chance: random.Random) -> Samples:
    chords = (chance.choice((220, 262, 330, 392, 440)) for _ in itertools.count())
    played = cut(tones(c, 1.25 * c, 1.5 * c, 2 * c, 3 * c, level=12_000, length=4000) for c in chords)
    return [one + chance.gauss(0, 30) for one in played]


def dtmf(chance: random.Random, pause: int) -> Samples:
    digits = (
        (chance.choice((697, 770, 852, 941)), chance.choice((1209, 1336, 1477, 1633)))
        for _ in itertools.count()
    )
    return cut([*tones(*digit, length=800), *[0.0] * pause] for digit in digits)


def modem(chance: random.Random) -> Samples:
    points = [
        complex(chance.choice((-3, -1, 1, 3)), chance.choice((-3, -1, 1, 3))) for _ in range(LENGTH // 3 + 1)
    ]
    return [(points[n // 3] * cmath.exp(0.45j * math.pi * n)).real * 3000 for n in range(LENGTH)]


@functools.cache
def encoded(seed: int, pt: int) -> dict[str, bytes]:
    """G.711 by the sound's name: all sounds for seed 0, the random ones for any other."""
    made = varied(seed) if seed else {**varied(seed), **fixed()}
    return {name: encode(samples, pt) for name, samples in made.items()}


def varied(seed: int) -> dict[str, Samples]:
    """Sounds that differ from seed to seed."""
    chance = random.Random(seed)
    sounds = {
        "idle line": [chance.choice((-8.0, 0.0, 8.0)) for _ in range(LENGTH)],
        "speech": speech(chance),
        "quiet speech": speech(chance, 600),
        "loud speech": speech(chance, 80_000, pauses=False),
        "speech without a pause": speech(chance, pauses=False),
        "speech in noise": [a + chance.gauss(0, 300) for a in speech(chance)],
        "music": music(chance),
        "DTMF digits": dtmf(chance, 800),
        "DTMF without pauses": dtmf(chance, 0),
        "modem": modem(chance),
        "tone and noise": [a + chance.gauss(0, 100) for a in tones(400, level=3000)],
    }
    return sounds | {
        f"white noise {level}": noise(level, chance) for level in (5, 20, 100, 500, 2000, 8000, 20_000)
    }


def fixed() -> dict[str, Samples]:
    """Sounds without chance in them."""
    sounds = {
        "digital silence": [0.0] * LENGTH,
        "square wave": [12_000.0 if n // 10 % 2 else -12_000.0 for n in range(LENGTH)],
        "saw tooth": [n * 2999 % 65536 - 32768.0 for n in range(LENGTH)],
        "buzz of 50 Hz": tones(*range(300, 3400, 50), level=30_000),
        "buzz of 40 Hz": tones(*range(320, 3400, 40), level=30_000),
        "three tones in step": tones(1000, 2000, 3000),
    }
    lone = (50, 100, 400, 425, 440, 1000, 1004, 2000, 2100, 2600, 3000, 3400, 3900)
    sounds |= {f"tone {frequency}": tones(frequency) for frequency in lone}
    pairs = ((350, 440), (440, 480), (480, 620), (400, 450), (941, 1633), (700, 1700))
    return sounds | {f"tones {pair}": tones(*pair) for pair in pairs}
