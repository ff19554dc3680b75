"""The demo's audio is real G.711."""

from __future__ import annotations

import wave

import pytest

from vosctl.demo import wav


@pytest.mark.parametrize(
    ("code", "sample"),
    # ITU-T G.711 table 1a: the smallest and largest values of both signs, and the ends of a segment.
    [
        (0xD5, 8),
        (0x55, -8),
        (0xAA, 32256),
        (0x2A, -32256),
        (0xD4, 24),
        (0x80, 5504),
        (0x00, -5504),
        (0xC5, 264),
    ],
)
def test_decoding_follows_the_recommendation(code, sample):
    assert wav.decode(bytes((code,)))[0] == sample


def test_every_code_survives_decoding_and_encoding():
    codes = bytes(range(256))
    assert wav.encode(wav.decode(codes)) == codes


def test_encoding_errs_by_half_a_step_at_most():
    for sample in range(-32768, 32768, 37):
        decoded = wav.decode(wav.encode((sample,)))[0]
        assert abs(decoded - sample) <= max(8, abs(decoded) / 32) + 8


def test_the_voice_is_a_wav_with_sound_and_pauses_and_always_the_same(tmp_path):
    for name in ("one", "two"):
        wav.speak(tmp_path / f"{name}.wav", 2)
    assert (tmp_path / "one.wav").read_bytes() == (tmp_path / "two.wav").read_bytes()
    samples = wav.read(tmp_path / "one.wav")
    assert len(samples) == 2 * wav.RATE
    assert max(samples) > 8000
    loudness = [max(samples[start : start + 400]) for start in range(0, len(samples), 400)]
    assert min(loudness) < 100
    assert len(set(wav.frames(wav.encode(samples)))) > 80


def test_a_foreign_wav_is_refused(tmp_path):
    with wave.open(str(tmp_path / "cd.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44100)
        file.writeframes(bytes(400))
    with pytest.raises(ValueError, match="44100"):
        wav.read(tmp_path / "cd.wav")
