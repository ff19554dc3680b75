"""Reads how a play is rolled out; what has the wrong type or form is left to the schema."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from vosctl.site.problems import Problems
from vosctl.site.rollout import Check, Gate, Order, Rollout, Size, Where
from vosctl.site.tree import Mapping, Scalar, Sequence, Value

_OF = {
    Check.RELAY: frozenset({"check", "within"}),
    Check.CALLS: frozenset({"check", "lost"}),
    Check.COMMAND: frozenset({"check", "within", "run", "where"}),
    Check.TRACE: frozenset({"check"}),
    Check.ERRORS: frozenset({"check", "within", "loss", "refused"}),
}


def read_rollout(play: Mapping, name: str, path: str, problems: Problems) -> Rollout:
    """Return how ``play`` is rolled out, its hosts not filled in; values that make no sense are problems."""
    order = _text(play.get("order"))
    return Rollout(
        name=name,
        serial=_serial(play.get("serial"), f"{path}.serial", problems),
        max_fail_percentage=_number(play.get("max_fail_percentage")),
        order=Order(order) if order in {each.value for each in Order} else Order.INVENTORY,
        pause=float(_number(play.get("pause")) or 0),
        health=_health(play.get("health"), f"{path}.health", problems),
    )


def _serial(value: Value | None, path: str, problems: Problems) -> tuple[Size, ...]:
    items = value.items if isinstance(value, Sequence) else (value,) if value is not None else ()
    found = (_size(item, path, problems) for item in items)
    return tuple(size for size in found if size is not None)


def _size(item: Value | None, path: str, problems: Problems) -> Size | None:
    if not isinstance(item, Scalar) or item.value is None:
        return None
    try:
        return Size.parse(item.text)
    except ValueError as error:
        if item.text.rstrip("%").isdecimal() and item.text.endswith("%") and not item.text.startswith("0"):
            problems.error("bad-size", str(error), item.mark, path=path, hint="100% is everything")
        return None


def _health(value: Value | None, path: str, problems: Problems) -> tuple[Gate, ...]:
    items = value.items if isinstance(value, Sequence) else ()
    gates = (_gate(item, f"{path}[{index}]", problems) for index, item in enumerate(items))
    return tuple(gate for gate in gates if gate is not None)


def _gate(item: Value, path: str, problems: Problems) -> Gate | None:
    if not isinstance(item, Mapping):
        return None
    word = _text(item.get("check"))
    if word not in {each.value for each in Check}:
        return None
    check = Check(word)
    for key in item.items.keys() - _OF[check]:
        problems.error("gate-field", f"{key} is nothing that the gate '{word}' knows", item.key_marks[key],
                       path=f"{path}.{key}", hint=f"it takes {', '.join(sorted(_OF[check]))}")  # fmt: skip
    run = item.get("run")
    words = tuple(each.text for each in run.items if isinstance(each, Scalar)) if isinstance(run, Sequence) else _text(run)  # fmt: skip
    if check is Check.COMMAND and not words:
        problems.error("gate-command", "a gate of the kind 'command' lacks run", item.mark, path=path,
                       hint="write run: with the command, as a text for the shell or as a list of words")  # fmt: skip
    lost = item.get("lost")
    return Gate(
        check=check,
        within=float(_number(item.get("within")) or 15),
        lost=None if _text(lost) in ("0", "0%") else _size(lost, f"{path}.lost", problems),
        run=words,
        where=Where.CONTROLLER if _text(item.get("where")) == Where.CONTROLLER.value else Where.NODE,
        loss=_percent(item.get("loss")),
        refused=_percent(item.get("refused")),
    )


def _percent(value: Value | None) -> Decimal:
    """Return the percentage, 1 where none is written or it is none (the schema says so)."""
    try:
        return Decimal(_text(value) or 1)
    except InvalidOperation:
        return Decimal(1)


def _text(value: Value | None) -> str:
    return value.text if isinstance(value, Scalar) and value.value is not None else ""


def _number(value: Value | None) -> int | None:
    found = value.value if isinstance(value, Scalar) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None
