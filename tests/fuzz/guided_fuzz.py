"""The text targets under libFuzzer, guided by what they reach: ``guided_fuzz.py [OPTION…] CORPUS [OPTION…]``.

Atheris instruments the parsers as they are imported. Half of the cases are bent by ``text_fuzz.bend``, which knows
bencode and SDP, the others by libFuzzer's own changes of bytes.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["vosctl.relay.control"]):
    import text_fuzz


def change(data: bytes, most: int, seed: int) -> bytes:
    chance = random.Random(seed)
    return text_fuzz.bend(data, chance)[:most] if chance.random() < 0.5 else atheris.Mutate(data, most)


def main(arguments: list[str]) -> None:
    """Fuzz from the seeds until the options say stop; libFuzzer ends the process, 0 when nothing was found."""
    corpus = next(Path(word) for word in arguments if not word.startswith("-"))
    for number, seed in enumerate(text_fuzz.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], *arguments], text_fuzz.every_target, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
