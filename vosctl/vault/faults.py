"""One error of the vault: a rule with a stable id, file and line, and what to do."""

from __future__ import annotations

from vosctl.errors import InputError
from vosctl.site.problems import Problem
from vosctl.site.tree import Mark


def refuse(rule: str, message: str, mark: Mark, *, path: str = "", hint: str = "") -> InputError:
    """Return the error, to be raised."""
    return InputError((Problem(rule, message, mark, path, hint),))
