"""How the compiler writes: JSON with sorted keys, and jinja2 templates from the package's own folder."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from vosctl import resources

if TYPE_CHECKING:
    from jinja2 import Template


def document(tree: Any) -> bytes:
    """Return the tree as JSON with sorted keys and a newline at the end."""
    return (json.dumps(tree, sort_keys=True, indent=1) + "\n").encode()


def render(name: str, **values: Any) -> bytes:
    """Return the packaged template ``name`` (``folder/file.j2``) filled in; an unknown variable raises."""
    return _template(name).render(**values).encode()


@cache
def _template(name: str) -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415  20 ms, where something is rendered

    environment = Environment(
        loader=FileSystemLoader(resources.templates()),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - the targets are sysctl and unit files, not HTML
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
