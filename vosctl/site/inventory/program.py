"""Executable inventories: runs the program as Ansible does and reads the JSON that it prints."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from vosctl.site.inventory.graph import Graph
from vosctl.site.inventory.listing import read_host_vars, read_listing
from vosctl.site.inventory.process import run_bounded
from vosctl.site.problems import Problems
from vosctl.site.text.compose import MAX_DEPTH
from vosctl.site.text.loader import MAX_BYTES, load_text, shown
from vosctl.site.tree import Mapping, Mark, Scalar, Sequence, Value

TIMEOUT = 60.0
_MAX_COMPLAINT = 300
_MAX_DIGITS = 18


def read_program(path: Path, graph: Graph, problems: Problems) -> None:
    """Run ``path --list`` and add what it prints to ``graph``.

    Without ``_meta.hostvars`` in the answer, each host is asked for with ``--host NAME``. A program
    that fails, needs more than a minute in all or prints something else is a problem. Marks in the
    answer name the command (``inventory.py --list:12:5``).
    """
    program = _Program(path, time.monotonic() + TIMEOUT)
    try:
        for host in read_listing(program.ask("--list"), graph, problems):
            told = program.ask("--host", host)
            read_host_vars(host, told.mark, told, graph, problems)
    except _ProgramError as error:
        graph.complete = False
        problems.error("inventory-program", error.message, Mark(shown(path), 1, 1), hint=error.hint)


class _ProgramError(Exception):
    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class _Program:
    def __init__(self, path: Path, end: float) -> None:
        self._path = path
        self._end = end

    def ask(self, *arguments: str) -> Mapping:
        """Return the program's answer as a tree."""
        words = " ".join(arguments)
        output = self._run(arguments, words)
        hint = f"see what the program prints with {words}"
        if len(output) > MAX_BYTES:
            raise _ProgramError(f"prints more than {MAX_BYTES // 2**20} MiB", hint)
        try:
            text = output.decode()
            answer = json.loads(text, parse_float=_Float, parse_int=_integer, parse_constant=_Float)
        except (ValueError, RecursionError) as error:
            raise _ProgramError(f"prints something that is no JSON: {error}", hint) from None
        tree = _marked(text, answer, f"{shown(self._path)} {words}")
        if not isinstance(tree, Mapping):
            raise _ProgramError("prints JSON that is no object", hint)
        return tree

    def _run(self, arguments: tuple[str, ...], words: str) -> bytes:
        command = [str(self._path.absolute()), *arguments]
        try:
            left = max(self._end - time.monotonic(), 0)
            code, output, complaint = run_bounded(command, seconds=left, most=MAX_BYTES)
        except TimeoutError:
            raise _ProgramError(
                f"did not answer {words} within {TIMEOUT:g} s", "see where it hangs"
            ) from None
        except OSError as error:
            hint = "does its first line name an interpreter that is installed?"
            raise _ProgramError(f"cannot be run: {error.strerror}", hint) from None
        if code != 0:
            said = complaint.decode("utf-8", errors="replace").strip()[-_MAX_COMPLAINT:]
            raise _ProgramError(
                f"{words} ended with code {code}", f"it says: {said}" if said else "run it by hand"
            )
        return output


def _marked(text: str, answer: Any, display: str) -> Value:
    """Return the answer with the places of its values, where a YAML reader takes the same from the text.

    It does not for all JSON (surrogate pairs, repeated keys, very long keys): then all places are the first.
    """
    problems = Problems()
    tree = load_text(text, display, problems)
    return tree if tree is not None and not problems.found else _tree(answer, Mark(display, 1, 1))


class _Float(str):
    """The text of a JSON number with a fraction or exponent."""

    __slots__ = ()


def _integer(text: str) -> int | _Float:
    return int(text) if len(text) <= _MAX_DIGITS else _Float(text)


def _tree(value: Any, mark: Mark, depth: int = 0) -> Value:
    if depth > MAX_DEPTH:
        raise _ProgramError(f"prints JSON nested more than {MAX_DEPTH} levels deep", "flatten the structure")
    if isinstance(value, dict):
        items = {key: _tree(item, mark, depth + 1) for key, item in value.items()}
        return Mapping(items, dict.fromkeys(value, mark), mark)
    if isinstance(value, list):
        return Sequence(tuple(_tree(item, mark, depth + 1) for item in value), mark)
    if isinstance(value, _Float):
        return Scalar(str(value), str(value), False, mark, number=True)
    if isinstance(value, str):
        return Scalar(value, value, True, mark)
    return Scalar(value, json.dumps(value), False, mark)
