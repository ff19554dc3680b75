"""Executable inventories: runs the program as Ansible does and reads the JSON that it prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vosctl.site.compose import MAX_DEPTH
from vosctl.site.graph import ALL, Graph
from vosctl.site.hosts import add_hosts, check_group_name
from vosctl.site.loader import MAX_BYTES, shown
from vosctl.site.problems import Problems
from vosctl.site.process import run_bounded
from vosctl.site.source import variables
from vosctl.site.tree import Mapping, Mark, Scalar, Sequence, Value

TIMEOUT = 60.0
_META = "_meta"
_MAX_COMPLAINT = 300


def read_program(path: Path, graph: Graph, problems: Problems) -> None:
    """Run ``path --list`` and add what it prints to ``graph``.

    Without ``_meta.hostvars`` in the answer, each host is asked for with ``--host NAME``. A program
    that fails, runs longer than a minute or prints something else is a problem.
    """
    mark = Mark(shown(path), 1, 1)
    try:
        _read(path, graph, problems, mark)
    except _ProgramError as error:
        problems.error("inventory-program", error.message, mark, hint=error.hint)


def _read(path: Path, graph: Graph, problems: Problems, mark: Mark) -> None:
    answer = _ask(path, "--list")
    reader = _Reader(graph, problems, mark)
    for name, body in answer.items():
        if name != _META:
            reader.group(name, body)
    meta = answer.get(_META)
    if isinstance(meta, dict) and "hostvars" in meta:
        reader.host_vars(meta["hostvars"])
        return
    for host in reader.found:
        reader.host_vars({host: _ask(path, "--host", host)})


class _Reader:
    def __init__(self, graph: Graph, problems: Problems, mark: Mark) -> None:
        self.found: dict[str, None] = {}
        self._graph = graph
        self._problems = problems
        self._mark = mark

    def group(self, name: str, body: Any) -> None:
        if not check_group_name(name, self._mark, self._problems):
            return
        group = self._graph.group(name, self._mark)
        if isinstance(body, list):
            body = {"hosts": body}
        if not isinstance(body, dict):
            self._misshapen(name, "a group is a list of hosts, or an object with hosts, children and vars")
            return
        for host in self._names(name, body, "hosts"):
            self.found |= dict.fromkeys(add_hosts(host, self._mark, name, self._graph, self._problems))
        for child in self._names(name, body, "children"):
            if child != ALL and check_group_name(child, self._mark, self._problems):
                self._graph.group(child, self._mark)
                group.children.setdefault(child, self._mark)
        source = variables(f"group {name}", _tree(body.get("vars"), self._mark), self._problems)
        if source is not None:
            group.inline.append(source)

    def host_vars(self, told: Any) -> None:
        if not isinstance(told, dict):
            self._misshapen("_meta.hostvars", "must be an object: host names to variables")
            return
        for host, values in told.items():
            if host not in self._graph.hosts:
                add_hosts(host, self._mark, self._graph_root(), self._graph, self._problems)
            draft = self._graph.hosts.get(host)
            source = variables(f"host {host}", _tree(values, self._mark), self._problems)
            if source is not None and draft is not None:
                draft.inline.append(source)

    def _graph_root(self) -> str:
        self._graph.group(ALL, self._mark)
        return ALL

    def _names(self, group: str, body: dict[str, Any], kind: str) -> list[str]:
        names = body.get(kind) or []
        if isinstance(names, (list, dict)) and all(isinstance(name, str) for name in names):
            return list(names)
        self._misshapen(f"{group}.{kind}", "must be a list of names")
        return []

    def _misshapen(self, path: str, message: str) -> None:
        self._problems.error("inventory-program", message, self._mark, path=path,
                             hint="see what the program prints with --list")  # fmt: skip


class _ProgramError(Exception):
    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def _ask(path: Path, *arguments: str) -> dict[str, Any]:
    words = " ".join(arguments)
    return _parse(_run([str(path.absolute()), *arguments], words), words)


def _run(command: list[str], what: str) -> bytes:
    try:
        code, output, complaint = run_bounded(command, seconds=TIMEOUT, most=MAX_BYTES)
    except TimeoutError:
        raise _ProgramError(f"did not answer {what} within {TIMEOUT:g} s", "see where it hangs") from None
    except OSError as error:
        hint = "does its first line name an interpreter that is installed?"
        raise _ProgramError(f"cannot be run: {error.strerror}", hint) from None
    if code != 0:
        words = complaint.decode("utf-8", errors="replace").strip()[-_MAX_COMPLAINT:]
        raise _ProgramError(
            f"{what} ended with code {code}", f"it says: {words}" if words else "run it by hand"
        )
    return output


def _parse(output: bytes, arguments: str) -> dict[str, Any]:
    hint = f"see what the program prints with {arguments}"
    if len(output) > MAX_BYTES:
        raise _ProgramError(f"prints more than {MAX_BYTES // 2**20} MiB", hint)
    try:
        answer = json.loads(output.decode(), parse_float=_Float, parse_int=_integer, parse_constant=_Float)
    except (ValueError, RecursionError) as error:
        raise _ProgramError(f"prints something that is no JSON: {error}", hint) from None
    if not isinstance(answer, dict):
        raise _ProgramError("prints JSON that is no object", hint)
    return answer


class _Float(str):
    """The text of a JSON number with a fraction or exponent."""

    __slots__ = ()


def _integer(text: str) -> int | _Float:
    return int(text) if len(text) <= 18 else _Float(text)


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
