"""What is wrong with a site: problems with a place, a path, a rule and a hint, collected, not raised."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct, field

from vosctl.errors import InputError
from vosctl.site.tree import Mark


class Severity(Enum):
    """Errors stop a run; warnings are shown and counted."""

    ERROR = "error"
    WARNING = "warning"


class Problem(Struct, frozen=True):
    """One finding: ``mark path: message [rule]`` and what to do about it."""

    rule: str
    message: str
    mark: Mark
    path: str = ""
    hint: str = ""
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        where = f"{self.mark} {self.path}" if self.path else f"{self.mark}"
        return f"{where}: {self.message} [{self.rule}]"


class Problems(Struct):
    """Collects findings so that one run reports all of them."""

    found: list[Problem] = field(default_factory=list)

    def error(self, rule: str, message: str, mark: Mark, *, path: str = "", hint: str = "") -> None:
        """Add an error."""
        self.found.append(Problem(rule, message, mark, path, hint))

    def warn(self, rule: str, message: str, mark: Mark, *, path: str = "", hint: str = "") -> None:
        """Add a warning."""
        self.found.append(Problem(rule, message, mark, path, hint, Severity.WARNING))

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The errors, in order of file, line and column, each once."""
        return self._sorted(Severity.ERROR)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The warnings, in order of file, line and column, each once."""
        return self._sorted(Severity.WARNING)

    def _sorted(self, severity: Severity) -> tuple[Problem, ...]:
        unique = dict.fromkeys(p for p in self.found if p.severity is severity)
        return tuple(sorted(unique, key=lambda p: (p.mark, p.rule, p.path)))

    def raise_errors(self) -> None:
        """Raise InputError with all errors, if there are any."""
        if self.errors:
            raise InputError(self.errors)
