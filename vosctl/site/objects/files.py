"""Builds what an operator adds to a node: files, packages, services and kernel settings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from posixpath import normpath
from typing import TYPE_CHECKING, Any, Protocol

from vosctl.site.objects.fields import Fields
from vosctl.site.own import FileSpec, ServiceSpec
from vosctl.site.suggest import listed
from vosctl.site.tree import Mark, Scalar, is_sealed

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

_OWNED_FOLDERS = ("/etc/vosctl", "/opt/vosctl", "/run/vosctl", "/run/vosctl-relay", "/var/lib/vosctl")
_OWNED_FILES = re.compile(
    r"/etc/(sysctl|modules-load)\.d/(90-)?vosctl\.conf|/etc/systemd/system/([^/]+\.d/50-)?vosctl-[^/]*"
)
_CONTENT = ("content", "template", "source")
_SYSCTL = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_/-]+)+")


class Context(Protocol):
    """What templates see; encrypted values are there for secret files only."""

    def __call__(self, *, secret: bool) -> Mapping[str, Any]:
        """Return the variables."""


def build_files(fields: Fields, folder: Path, context: Context) -> tuple[FileSpec, ...]:
    """Return the files, sorted by path, with templates rendered.

    ``folder`` is what template and source paths start from. A file whose content was encrypted is
    secret whatever it says, and secret files are 0600 where they name no mode.
    """
    built = []
    for path, entry in fields.entries():
        mark = fields.tree.key_marks.get(path, entry.tree.mark)
        secret = entry.boolean("secret", default=False) or is_sealed(entry.tree.items.get("content"))
        content = _content(entry, folder, partial(context, secret=secret), mark)
        if _check_path(entry, path, mark) and content is not None:
            built.append(
                FileSpec(
                    path=path,
                    content=content,
                    mode=_mode(entry.text("mode"), 0o600 if secret else 0o644),
                    owner=entry.text("owner") or "root",
                    group=entry.text("group") or "root",
                    secret=secret,
                    reload=entry.text("reload"),
                    mark=mark,
                    restart=entry.text("restart"),
                    validate=_validation(entry),
                )
            )
    return tuple(sorted(built, key=lambda file: file.path))


def _validation(entry: Fields) -> str:
    text = entry.text("validate") or ""
    try:
        words = shlex.split(text)
    except ValueError as error:
        message = f"'{text}' is no command: {error}"
        entry.error("file-validate", message, key="validate", hint="close the quotes, or write \\' and \\\"")
        return ""
    if text and "%s" not in text:
        entry.error("file-validate", f"'{text}' does not say where the new content stands", key="validate",
                    hint="write %s in its place, as in nginx -t -c %s")  # fmt: skip
    elif words and "%s" in words[0]:
        entry.error("file-validate", f"'{text}' would run the file itself", key="validate",
                    hint="write a program first, as in sh -n %s")  # fmt: skip
    return text


def _mode(text: str | None, default: int) -> int:
    return int(text, 8) if text and re.fullmatch(r"0?[0-7]{3,4}", text) else default


def _check_path(entry: Fields, path: str, mark: Mark) -> bool:
    rule, message, hint = "", "", ""
    if not path.startswith("/"):
        rule, message, hint = (
            "file-path",
            f"'{path}' is not an absolute path",
            f"write /{path}, or the whole path",
        )
    elif normpath(path) != path or path == "/" or path.startswith("//"):
        rule, message, hint = (
            "file-path",
            f"'{path}' is not a plain path of a file",
            f"write {normpath(path)}",
        )
    elif _is_owned(path):
        rule, message = "file-owned", f"{path} belongs to vosctl, which writes it itself"
        hint = "choose another path; the value it should hold has its own place in the variables"
    if rule:
        entry.problems.error(rule, message, mark, path=entry.path, hint=hint)
    return not rule


def _is_owned(path: str) -> bool:
    inside = any(path == folder or path.startswith(folder + "/") for folder in _OWNED_FOLDERS)
    return inside or _OWNED_FILES.fullmatch(path) is not None


def _content(entry: Fields, folder: Path, context: Callable[[], Mapping[str, Any]], mark: Mark) -> str | None:
    given = [key for key in _CONTENT if key in entry]
    if len(given) != 1:
        what = "none" if not given else f"{listed(given)}"
        message = f"one of content, template and source says what is in the file; given: {what}"
        entry.problems.error(
            "file-content", message, mark, path=entry.path, hint="keep exactly one of the three"
        )
        return None
    key = given[0]
    text = entry.text(key)
    if key == "content" or text is None:
        return text
    written = _read(entry, key, folder / text)
    return written if key == "source" or written is None else _render(entry, written, context())


def _read(entry: Fields, key: str, path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        message, hint = f"{path} is not UTF-8 text", "binary files are installed as packages"
    except OSError as error:
        message, hint = f"{path} cannot be read: {error.strerror}", "the path starts from the site's folder"
    entry.error("file-unreadable", message, key=key, hint=hint)
    return None


@cache
def _jinja() -> SandboxedEnvironment:
    from jinja2 import StrictUndefined  # noqa: PLC0415  25 ms, for sites with templates
    from jinja2.sandbox import SandboxedEnvironment  # noqa: PLC0415

    return SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)


def _render(entry: Fields, text: str, context: Mapping[str, Any]) -> str | None:
    from jinja2 import TemplateError  # noqa: PLC0415

    try:
        return _jinja().from_string(text).render(context)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        line = getattr(error, "lineno", None)
        message = f"the template fails{f' in line {line}' if line else ''} for {context['node']}: {error}"
        hint = "templates see node, groups, host and the variables, encrypted ones only in files with secret: true"
        entry.error("template", message, key="template", hint=hint)
        return None


def build_services(fields: Fields) -> tuple[ServiceSpec, ...]:
    """Return the services and their wanted states, sorted by name."""
    built = []
    for name, entry in fields.entries():
        mark = fields.tree.key_marks.get(name, entry.tree.mark)
        if name.removesuffix(".service").startswith("vosctl-"):
            message = f"the service {name} belongs to vosctl"
            hint = "relay.enabled and firewall.enabled say whether it runs"
            entry.problems.error("service-owned", message, mark, path=entry.path, hint=hint)
            continue
        state = entry.text("state") or "running"
        built.append(ServiceSpec(name, state, entry.boolean("enabled", default=True), mark))
    return tuple(sorted(built, key=lambda service: service.name))


def build_sysctl(fields: Fields) -> Mapping[str, str]:
    """Return kernel settings by dotted name, values as text."""
    settings = {}
    for key, value in fields.tree.items.items():
        if not isinstance(value, Scalar) or value.value is None:
            continue
        if not _SYSCTL.fullmatch(key) or key.startswith("proc."):
            _report_sysctl(fields, key)
        elif isinstance(value.value, bool):
            continue
        else:
            settings[key] = value.text
    return settings


def _report_sysctl(fields: Fields, key: str) -> None:
    dotted = key.removeprefix("/proc/sys/").strip("/").replace("/", ".")
    spelled = bool(_SYSCTL.fullmatch(dotted)) and "/" in key
    message = f"'{key}' is {'a path, not' if spelled else 'not'} the name of a kernel setting"
    hint = f"write {dotted}" if spelled else "names are dotted, as net.core.rmem_max"
    mark = fields.tree.key_marks.get(key, fields.tree.mark)
    fields.problems.error("sysctl-name", message, mark, path=fields.at(key), hint=hint)
