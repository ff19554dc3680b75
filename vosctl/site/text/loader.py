"""Reads a YAML file into a tree in which every value knows its place; whatever is wrong becomes a problem."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vosctl.site.problems import Problems
from vosctl.site.text.compose import Composed, compose
from vosctl.site.text.convert import convert
from vosctl.site.tree import Mark, Scalar, Value
from vosctl.vault.loading import unseal

MAX_BYTES = 32 * 1024 * 1024
_BOM = "\ufeff"
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what ends a line for libyaml


def shown(path: Path) -> str:
    """Return how a path is shown in marks: relative to the current directory when below it."""
    try:
        absolute = Path(os.path.abspath(path))  # noqa: PTH100 - links stay as the operator wrote them
        return str(absolute.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def load_file(path: Path, display: str, problems: Problems) -> Value | None:
    """Return the tree of a YAML file, or None where there is none; ``display`` is the file in marks.

    Never raises for what the file holds: unreadable, oversized, not UTF-8 and not YAML are problems.
    An empty file is a null scalar. Encrypted values are decrypted with the keys at hand
    (``vosctl.vault.keys.using``) and marked as sealed.
    """
    content = read_file(path, display, problems)
    return None if content is None else load_text(content, display, problems)


def read_file(path: Path, display: str, problems: Problems) -> str | None:
    """Return the text of a UTF-8 file, or None and a problem."""
    start = Mark(display, 1, 1)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        problems.error("file-missing", "no such file", start, hint="check the name, or create the file")
    except IsADirectoryError:
        problems.error(
            "file-unreadable", "a folder stands where a file is expected", start, hint="name a file in it"
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        problems.error(
            "file-unreadable", f"cannot be read: {reason}", start, hint="check owner and mode of the file"
        )
    else:
        return decode(data, display, problems)
    return None


def decode(data: bytes, display: str, problems: Problems) -> str | None:
    """Return the text of UTF-8 bytes no longer than MAX_BYTES, or None and a problem."""
    if len(data) > MAX_BYTES:
        problems.error("yaml-too-large", f"the file is larger than {MAX_BYTES // 2**20} MiB", Mark(display, 1, 1),
                       hint="split the file")  # fmt: skip
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", errors="replace")) + 1
        problems.error("yaml-encoding", f"byte 0x{data[error.start]:02x} is not UTF-8", Mark(display, line, column),
                       hint="save the file as UTF-8 without a byte order mark")  # fmt: skip
    return None


def load_text(text: str, display: str, problems: Problems, *, prefix: tuple[str, ...] = ()) -> Value | None:
    """Return the tree of YAML text, or None and a problem; see ``load_file``.

    ``prefix`` is the path at which the text stands among the variables.
    """
    if text.startswith(_BOM):
        problems.error("yaml-encoding", "the file begins with a byte order mark", Mark(display, 1, 1),
                       hint="save the file as UTF-8 without a byte order mark")  # fmt: skip
        text = text[1:]
    with _collector_paused():
        composed = compose(text)
        tree = _tree(composed, text, display, problems, prefix)
    if composed.fault is None:
        return tree
    fault = composed.fault
    problems.error(fault.rule, fault.message, Mark(display, fault.line, fault.column), hint=fault.hint)
    return None


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Trees have no cycles; half of the time would go into the collector's walks over them."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _tree(
    composed: Composed, text: str, display: str, problems: Problems, prefix: tuple[str, ...]
) -> Value | None:
    if composed.root is None:
        return Scalar(None, "", False, Mark(display, 1, 1))
    sealed = unseal(composed.root, text, display, problems) if composed.fault is None else ()
    if sealed is None:
        return None
    lines = len(_BREAK.findall(text)) + 1
    return convert(composed.root, display, problems, lines=lines, prefix=prefix, sealed=sealed)
