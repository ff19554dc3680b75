"""How a call sounds: the E-model of ITU-T G.107 over what the relay counts, with the codecs of G.113 appendix I."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

Json = Dict[str, Any]

# G.107 (06/2015) with every input at the default of its table 3, but for delay, codec and loss.
_RO, _IS = 94.7688, 1.4136
_TELR, _WEPL = 65.0, 110.0


class Codec(NamedTuple):
    """Equipment impairment, and robustness against packet loss."""

    ie: float
    bpl: float


# Ie and Bpl are provisional planning values of ITU-T G.113 (11/2007), appendix I. It rates robustness against random
# loss for G.711 with and without concealment (Bpl 25.1 and 4.3), G.729A+VAD, G.723.1+VAD at 6.3 kbit/s and GSM-EFR,
# and for no others. Telephones conceal lost G.711 (G.711 appendix I), so that 25.1 holds. AMR is rated in its mode of
# 12.2 kbit/s, which is GSM-EFR's codec bit by bit.
_G711 = Codec(0.0, 25.1)
_EFR = Codec(5.0, 10.0)
# An assumption on the careful side, for what the appendix does not rate: the least robust of those that conceal.
_UNRATED_BPL = 10.0
_CODECS = {
    "PCMU": _G711,
    "PCMA": _G711,
    "G729": Codec(11.0, 19.0),
    "G723": Codec(15.0, 16.1),
    "GSM-EFR": _EFR,
    "AMR": _EFR,
    "GSM": Codec(20.0, _UNRATED_BPL),
    "G726-16": Codec(50.0, _UNRATED_BPL),
    "G726-24": Codec(25.0, _UNRATED_BPL),
    "G726-32": Codec(7.0, _UNRATED_BPL),
    "G726-40": Codec(2.0, _UNRATED_BPL),
    "G728": Codec(7.0, _UNRATED_BPL),
    # The appendix has no iLBC: rated as G.729A, which its designers compare it with; an assumption.
    "ILBC": Codec(11.0, 19.0),
}
# Wideband codecs (G.722, AMR-WB, Opus and others, and any codec that is not known) are rated as G.711: the narrowband
# scale has no place above it, G.113 appendix IV rates wideband on another one (G.107.1), and Opus has no figure there.


def rating(codec: str, *, delay_ms: float = 0.0, loss: float = 0.0, burst_ratio: float = 1.0) -> float:
    """Return the rating factor R for a one-way delay, and a loss in percent (G.107 equation 7-1)."""
    kind = _CODECS.get(codec.upper(), _G711)
    effective = kind.ie + (95 - kind.ie) * loss / (loss / max(burst_ratio, 1.0) + kind.bpl)
    return _RO - _IS - _delay_impairment(max(delay_ms, 0.0)) - effective


def mos(factor: float) -> float:
    """Return the mean opinion score of a rating factor, 1 to 4.5 (G.107 annex B)."""
    if factor <= 0:
        return 1.0
    if factor >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * factor + factor * (factor - 60) * (100 - factor) * 7e-6)


def _delay_impairment(delay: float) -> float:
    """Talker echo, listener echo and delay itself (G.107 equations 7-18 to 7-28)."""
    terv = _TELR - 40 * math.log10((1 + delay / 10) / (1 + delay / 150)) + 6 * math.exp(-0.3 * delay**2)
    talker = _softened(_RO - (80 + 2.5 * (terv - 14)), 100) - 1
    listener = _softened(_RO - 10.5 * (_WEPL + 7) * (2 * delay + 1) ** -0.25, 169)
    plain = 0.0
    if delay > 100:
        x = math.log2(delay / 100)
        plain = 25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2)
    return talker * (1 - math.exp(-delay)) + listener + plain


def _softened(difference: float, constant: float) -> float:
    return difference / 2 + math.sqrt(difference**2 / 4 + constant)


def loss_percent(leg: Json) -> float:
    """Return what of a leg's packets did not arrive, or came too late for its jitter buffer, in percent."""
    if leg["expected"] <= 0:
        return 0.0
    missing = max(0, leg["expected"] - leg["packets"]) + leg.get("late", 0)
    return float(min(100.0, 100.0 * missing / leg["expected"]))


def burst_ratio(leg: Json) -> float:
    """Return how much longer the gaps are than those of losses by chance, 1 at least (G.107 §7.4)."""
    runs = leg.get("loss_runs", 0)
    if not runs or not leg["expected"]:
        return 1.0
    share = min(leg["run_lost"] / leg["expected"], 0.99)
    return float(max(1.0, leg["run_lost"] / runs * (1 - share)))


def delay_ms(leg: Json, other: Json) -> float:
    """Return the one-way delay of what a leg sends: half of both round trips, and the jitter buffer's own."""
    trips = (leg.get("rtt_ms") or 0.0) + (other.get("rtt_ms") or 0.0)
    return float(trips / 2 + (leg.get("playout_ms") or 0.0))


def leg_mos(leg: Json, other: Json, codec: str) -> Optional[float]:
    """Return the score of what has come on a leg, on its way to the other; None while nothing has."""
    if not leg["packets"]:
        return None
    return round(score(leg, other, codec, 0).mos, 2)


class Score(NamedTuple):
    """How a leg sounded at one time or, at the end of ``samples`` of them, on the average; times in ms, loss in percent."""

    mos: float
    jitter: float
    loss: float
    trip: float
    trip_leg: float
    samples: int
    reported_at: int

    def as_ng(self) -> Json:
        """Return the score as the NG protocol has it: tenths of MOS, everything else in whole numbers."""
        return {
            "MOS": round(self.mos * 10),
            "jitter": round(self.jitter),
            "packet loss": round(self.loss),
            "round-trip time": round(self.trip),
            "round-trip time leg": round(self.trip_leg),
            "samples": self.samples,
            "reported at": self.reported_at,
        }


@dataclass
class _Heard:
    """What one source's samples add up to, and the counters at the last of them."""

    counted: Dict[str, int]
    average: Optional[Score] = None
    lowest: Optional[Score] = None
    highest: Optional[Score] = None

    def add(self, one: Score) -> None:
        before = self.average or one
        n = before.samples + 1 if self.average else 1
        mos_, jitter, loss, trip, leg = [old + (new - old) / n for old, new in zip(before[:5], one[:5])]  # noqa: B905
        self.average = Score(mos_, jitter, loss, trip, leg, n, one.reported_at)
        self.lowest = min(self.lowest or one, one)
        self.highest = max(self.highest or one, one)


Key = Tuple[str, str, int]
_COUNTED = ("packets", "expected", "late", "loss_runs", "run_lost")


class Samples:
    """Scores of every source that is heard, one a look; a source is forgotten with the first look that lacks it."""

    def __init__(self) -> None:
        self._heard: Dict[Key, _Heard] = {}

    def __len__(self) -> int:
        return len(self._heard)

    def take(self, calls: Sequence[Json], now: int) -> None:
        """Add a sample for each leg on which anything was due since the last look; ``calls`` as the admin socket lists them."""
        after: Dict[Key, _Heard] = {}
        for call in calls:
            legs = {(leg["stream"], leg["side"]): leg for leg in call["legs"]}
            for (stream, side), leg in legs.items():
                if leg.get("mos") is None or not leg["ssrc"]:
                    continue
                key = _key(call["call-id"], leg)
                counted = {name: int(leg.get(name) or 0) for name in _COUNTED}
                heard = self._heard.get(key) or _Heard(dict.fromkeys(_COUNTED, 0))
                other = legs.get((stream, "b" if side == "a" else "a"), {})
                since = {name: counted[name] - heard.counted[name] for name in _COUNTED}
                if since["expected"] > 0 and min(since.values()) >= 0:
                    heard.add(score({**leg, **since}, other, leg["codec"], now))
                heard.counted = counted
                after[key] = heard
        self._heard = after

    def of(self, call_id: str, leg: Json) -> Optional[_Heard]:
        """Return what was heard of the leg's source, None before its first sample."""
        found = self._heard.get(_key(call_id, leg))
        return found if found and found.average else None


def _key(call_id: str, leg: Json) -> Key:
    return call_id, ":".join(map(str, leg["local"])), leg["ssrc"]


def score(leg: Json, other: Json, codec: str, now: int) -> Score:
    """Return how what came on a leg sounds on its way to the other."""
    loss = loss_percent(leg)
    factor = rating(codec, delay_ms=delay_ms(leg, other), loss=loss, burst_ratio=burst_ratio(leg))
    trip = float(leg.get("rtt_ms") or 0.0)
    both = trip + float(other.get("rtt_ms") or 0.0)
    return Score(mos(factor), float(leg["jitter_ms"]), loss, both, trip, 1, now)


def ng_report(call_id: str, legs: Sequence[Tuple[Json, Json, str]], samples: Samples, now: int) -> Json:
    """Return ``SSRC`` as the NG protocol has it: for each source its scores, and what they came from.

    ``legs`` are each with the leg of the other side, and its codec. Average, lowest and highest are of the samples;
    a source that ends before its first sample has one, of all that it sent.
    """
    found: Json = {}
    for leg, other, codec in legs:
        if not leg["packets"] or not leg["ssrc"]:
            continue
        heard = samples.of(call_id, leg)
        whole = score(leg, other, codec, now)
        figures = (heard.average, heard.lowest, heard.highest) if heard else (None,) * 3
        names = ("average MOS", "lowest MOS", "highest MOS")
        found[str(leg["ssrc"])] = {
            name: (one or whole).as_ng()
            for name, one in zip(names, figures)  # noqa: B905 (Python 3.9 has no strict=)
        }
    return found
