"""Charts as numbers for SVG: bars by destination, a line over time, the way from revenue to margin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from msgspec import Struct

WIDTH = 720
_WIDE = 1320
_LABEL, _VALUE = 280, 96
_ROW, _BAR = 26, 16
_HEIGHT, _LEFT, _BOTTOM, _TOP = 240, 72, 34, 14
_MOST_BARS = 12
_MOST_DOTS = 62
_STEPS = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))


class Bar(Struct, frozen=True):
    """One bar: what it is of, its amount, where it lies, in pixels, and whether it is below nothing."""

    label: str
    amount: Decimal
    x: float
    y: float
    width: float
    height: float
    kind: str


class Tick(Struct, frozen=True):
    """A mark of an axis: its text and place."""

    text: str
    at: float


class Bars(Struct, frozen=True):
    """Horizontal bars from a common zero; ``others`` is the sum of those that are not drawn, which would dwarf them."""

    bars: tuple[Bar, ...]
    zero: float
    height: int
    others: tuple[str, Decimal] | None = None
    left: int = _LABEL
    width: int = _WIDE


class Line(Struct, frozen=True):
    """Values over time: the corners of the line, the ticks of both axes, where zero is."""

    points: tuple[tuple[float, float, str, Decimal], ...]
    down: tuple[Tick, ...]
    across: tuple[Tick, ...]
    zero: float
    height: int = _HEIGHT
    left: int = _LEFT
    width: int = WIDTH

    @property
    def dotted(self) -> bool:
        """Whether its points are so few that they can be told apart."""
        return len(self.points) <= _MOST_DOTS

    @property
    def path(self) -> str:
        """The line's ``points`` as SVG wants them."""
        return " ".join(f"{x:.1f},{y:.1f}" for x, y, *_ in self.points)


class Waterfall(Struct, frozen=True):
    """Columns that begin where the one before ends, and the ticks beside them."""

    bars: tuple[Bar, ...]
    down: tuple[Tick, ...]
    zero: float
    height: int = _HEIGHT
    left: int = _LEFT
    width: int = WIDTH


def bars(amounts: Sequence[tuple[str, Decimal]]) -> Bars:
    """Return bars of the largest amounts, above or below nothing, in the order of the amounts."""
    chosen, others = _largest(amounts)
    low = min([Decimal(0), *(amount for _, amount in chosen)])
    high = max([Decimal(0), *(amount for _, amount in chosen)])
    room = _WIDE - _LABEL - _VALUE - (_VALUE if low < 0 else 0)
    scale = Decimal(room) / ((high - low) or Decimal(1))
    zero = float(_LABEL + (_VALUE if low < 0 else 0) - low * scale)
    made = []
    for at, (label, amount) in enumerate(chosen):
        length = float(abs(amount) * scale)
        x = zero if amount >= 0 else zero - length
        kind = "gain" if amount >= 0 else "loss"
        made.append(Bar(label, amount, x, at * _ROW + (_ROW - _BAR) / 2, max(length, 1.0), _BAR, kind))
    return Bars(tuple(made), zero, max(len(made), 1) * _ROW, others)


def _largest(
    amounts: Sequence[tuple[str, Decimal]],
) -> tuple[list[tuple[str, Decimal]], tuple[str, Decimal] | None]:
    """Return the amounts that are farthest from nothing, the highest first, and the others in words with their sum."""
    by_size = sorted(amounts, key=lambda each: -abs(each[1]))
    shown, rest = by_size[:_MOST_BARS], by_size[_MOST_BARS:]
    others = (f"{len(rest):,} others", sum((amount for _, amount in rest), Decimal(0))) if rest else None
    return sorted(shown, key=lambda each: -each[1]), others


def line(values: Sequence[tuple[str, Decimal]]) -> Line:
    """Return a line over periods, oldest first."""
    axis = _Axis.of([amount for _, amount in values])
    room = WIDTH - _LEFT - 24
    step = room / max(len(values) - 1, 1)
    points = tuple(
        (_LEFT + (at * step if len(values) > 1 else room / 2), axis.y(amount), label, amount)
        for at, (label, amount) in enumerate(values)
    )
    every = max(1, -(-len(values) // 8))
    across = tuple(Tick(label, x) for at, (x, _, label, _) in enumerate(points) if at % every == 0)
    return Line(points, axis.ticks, across, axis.y(Decimal(0)))


def waterfall(steps: Sequence[tuple[str, Decimal]]) -> Waterfall:
    """Return columns for a first amount, what is added to or taken from it, and what is left, which is the last column."""
    running, spans = Decimal(0), []
    for at, (label, amount) in enumerate(steps):
        begin = running if at else Decimal(0)
        running = begin + amount
        spans.append(
            (label, amount, begin, running, "total" if not at else "gain" if amount >= 0 else "loss")
        )
    spans.append(("margin", running, Decimal(0), running, "total" if running >= 0 else "loss"))
    axis = _Axis.of([end for *_, begin, end, _ in spans for end in (begin, end)])
    slot = (WIDTH - _LEFT - 24) / len(spans)
    made = []
    for at, (label, amount, begin, end, kind) in enumerate(spans):
        top, bottom = sorted((axis.y(begin), axis.y(end)))
        made.append(
            Bar(label, amount, _LEFT + at * slot + slot * 0.15, top, slot * 0.7, max(bottom - top, 1.0), kind)
        )
    return Waterfall(tuple(made), axis.ticks, axis.y(Decimal(0)))


class _Axis(Struct, frozen=True):
    """An upright axis from ``low`` to ``high``, both on a tick."""

    low: Decimal
    high: Decimal
    step: Decimal

    @classmethod
    def of(cls, amounts: Iterable[Decimal]) -> _Axis:
        low, high = min([Decimal(0), *amounts]), max([Decimal(0), *amounts])
        step = _step((high - low) or Decimal(1))
        return cls((low / step).__floor__() * step, -((-high / step).__floor__()) * step or step, step)

    def y(self, amount: Decimal) -> float:
        """Return where an amount lies, in pixels from the top."""
        room = _HEIGHT - _TOP - _BOTTOM
        return float(_TOP + room * (1 - (amount - self.low) / (self.high - self.low)))

    @property
    def ticks(self) -> tuple[Tick, ...]:
        count = int((self.high - self.low) / self.step)
        return tuple(
            Tick(short(self.low + at * self.step), self.y(self.low + at * self.step))
            for at in range(count + 1)
        )


def _step(span: Decimal) -> Decimal:
    """Return the distance of four or five ticks: 1, 2, 2.5 or 5 of some power of ten."""
    rough = span / 4
    power = Decimal(1).scaleb(rough.adjusted())
    return next(step * power for step in _STEPS if step * power >= rough)


def short(amount: Decimal) -> str:
    """Return an amount of an axis as short as can be: ``1.5k``, ``2M``, ``0.25``."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if abs(amount) >= size:
            return f"{_trimmed(amount / size)}{unit}"
    return _trimmed(amount)


def _trimmed(amount: Decimal) -> str:
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
