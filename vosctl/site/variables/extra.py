"""Variables from the command line: ``key=value``, dotted keys, YAML or JSON in braces, and ``@file``."""

from __future__ import annotations

import re
from pathlib import Path

from vosctl.site.problems import Problems
from vosctl.site.text import lint
from vosctl.site.text.loader import load_file, load_text, shown
from vosctl.site.tree import Mapping, Mark, Scalar, Value
from vosctl.site.variables.source import variables

_FILE = "--extra-vars"
_PAIR = re.compile(r"(?P<key>[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*)=(?P<value>.*)", re.DOTALL)
_BRACES = r"\{(?:[^{}]|\{[^{}]*\})*\}|\[[^\[\]]*\]"
_WORD = re.compile(rf"""(?:{_BRACES}|[^\s"'{{\[]|"(?:[^"\\]|\\.)*"|'[^']*')+""")
_FLOW = ("{", "[", '"', "'")


def load_extra_vars(texts: tuple[str, ...], problems: Problems) -> tuple[Mapping, ...]:
    """Return the variables of all ``-e`` options, in order; whatever is wrong is a problem.

    Marks name ``--extra-vars``, the number of the option as line, and the column in its text. A
    plain value is what YAML makes of it, but nothing needs quotes: ``00441`` and ``off`` are text.
    """
    found: list[Mapping] = []
    for number, text in enumerate(texts, start=1):
        for value in _parse(text.strip(), Mark(_FILE, number, 1), problems):
            source = variables(_FILE, value, problems)
            if source is not None:
                found.append(source.tree)
    return tuple(found)


def _parse(text: str, mark: Mark, problems: Problems) -> list[Value]:
    if text.startswith("@"):
        path = Path(text[1:])
        tree = load_file(path, shown(path), problems)
    elif text.startswith(("{", "[")):
        tree = _flow(text, mark, problems)
    else:
        return _pairs(text, mark, problems)
    return [] if tree is None else [tree]


def _pairs(text: str, mark: Mark, problems: Problems) -> list[Value]:
    found: list[Value] = []
    for part, offset in _split(text):
        match = _PAIR.fullmatch(part)
        where = Mark(mark.file, mark.line, mark.column + offset)
        if match is None:
            problems.error("extra-vars", f"{part.partition('=')[0] or 'nothing'} is no variable", where,
                           hint="write -e name=value, -e 'media.jitter=lan', -e '{name: value}' or -e @file.yml")  # fmt: skip
            continue
        at = Mark(mark.file, mark.line, where.column + match.start("value"))
        keys = match["key"].split(".")
        value = _value(match["value"], keys, at, problems)
        if value is not None:
            found.append(_nested(keys, value, where))
    return found


def _split(text: str) -> list[tuple[str, int]]:
    """Return ``a=1 b=2`` as pairs with their offsets; a text that is not pairs throughout is one."""
    words = list(_WORD.finditer(text))
    if len(words) < 2 or _WORD.sub("", text).strip() or not all(_PAIR.fullmatch(word[0]) for word in words):
        return [(text, 0)]
    return [(word[0], word.start()) for word in words]


def _value(text: str, keys: list[str], mark: Mark, problems: Problems) -> Value | None:
    if text.startswith(_FLOW):
        return _flow(text, mark, problems, prefix=tuple(keys))
    if not text:
        return Scalar("", "", True, mark)
    plain = lint.resolve_argument(text)
    return Scalar(plain.value, text, False, mark, plain.number)


def _flow(text: str, mark: Mark, problems: Problems, *, prefix: tuple[str, ...] = ()) -> Value | None:
    """Return YAML in braces or quotes; marks are moved to where the text stands in the option."""
    padding = " " * (mark.column - 1)
    inner = Problems()
    tree = load_text(padding + text, mark.file, inner, prefix=prefix)
    for problem in inner.found:
        moved = Mark(mark.file, mark.line, problem.mark.column)
        problems.error(problem.rule, problem.message, moved, path=problem.path, hint=problem.hint)
    return None if tree is None else _moved(tree, mark)


def _moved(value: Value, mark: Mark) -> Value:
    here = Mark(mark.file, mark.line, value.mark.column)
    if isinstance(value, Scalar):
        return Scalar(value.value, value.text, value.quoted, here, value.number, value.sealed)
    if isinstance(value, Mapping):
        items = {key: _moved(item, mark) for key, item in value.items.items()}
        marks = {key: Mark(mark.file, mark.line, place.column) for key, place in value.key_marks.items()}
        return Mapping(items, marks, here)
    return type(value)(tuple(_moved(item, mark) for item in value.items), here)


def _nested(keys: list[str], value: Value, mark: Mark) -> Mapping:
    for key in reversed(keys):
        value = Mapping({key: value}, {key: mark}, mark)
    assert isinstance(value, Mapping)
    return value
