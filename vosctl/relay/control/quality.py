"""How a call sounds: the E-model of ITU-T G.107 over what the relay counts, with the codecs of G.113 appendix I."""

from __future__ import annotations

import math
from typing import Any, Dict, List, NamedTuple, Optional

Json = Dict[str, Any]

# G.107 (06/2015) with every input at the default of its table 3, but for delay, codec and loss.
_RO, _IS = 94.7688, 1.4136
_TELR, _WEPL = 65.0, 110.0


class Codec(NamedTuple):
    """Equipment impairment, and robustness against packet loss (G.113 tables I.1, I.2 and I.3)."""

    ie: float
    bpl: float


# With packet loss concealment, as telephones have it. Wideband codecs are rated as G.711: beside them the
# narrowband scale has no place, and its top is what they are worth on it. A Bpl of 10 stands for codecs whose
# robustness the appendix does not rate: an assumption on the careful side, not a figure of the ITU.
_G711 = Codec(0.0, 25.1)
_CODECS = {
    "PCMU": _G711,
    "PCMA": _G711,
    "G729": Codec(11.0, 19.0),
    "G723": Codec(15.0, 16.1),
    "GSM": Codec(20.0, 10.0),
    "GSM-EFR": Codec(5.0, 10.0),
    "AMR": Codec(5.0, 10.0),
    "G726-32": Codec(7.0, 10.0),
    "G726-40": Codec(2.0, 10.0),
    "G728": Codec(7.0, 10.0),
}


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
    loss = loss_percent(leg)
    factor = rating(codec, delay_ms=delay_ms(leg, other), loss=loss, burst_ratio=burst_ratio(leg))
    return round(mos(factor), 2)


def ng_report(legs: List[Json]) -> Json:
    """Return ``SSRC`` as the NG protocol has it: for each source its score times ten, and what it came from.

    ``legs`` are those of ``described``. One figure stands for the whole call, so that its average, lowest and
    highest are the same. Times are in milliseconds.
    """
    found: Json = {}
    for leg in legs:
        if leg["mos"] is None or not leg["ssrc"]:
            continue
        trip = leg.get("rtt_ms") or 0.0
        figures = {
            "MOS": round(leg["mos"] * 10),
            "jitter": round(leg["jitter_ms"]),
            "packet loss": round(loss_percent(leg)),
            "round-trip time": round(trip + leg["other_rtt_ms"]),
            "round-trip time leg": round(trip),
            "samples": 1,
            "reported at": leg["reported_at"],
        }
        names = ("average MOS", "lowest MOS", "highest MOS")
        found[str(leg["ssrc"])] = {name: dict(figures) for name in names}
    return found


def described(leg: Json, other: Json, codec: str, reported_at: int = 0) -> Json:
    """Return a leg with its score, for the list of calls and for ``ng_report``."""
    return {
        **leg,
        "mos": leg_mos(leg, other, codec),
        "loss_percent": round(loss_percent(leg), 3),
        "other_rtt_ms": other.get("rtt_ms") or 0.0,
        "reported_at": reported_at,
    }
