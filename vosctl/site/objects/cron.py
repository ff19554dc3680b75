"""Builds the files of /etc/cron.d: a file for each set of jobs, with every field checked as cron reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vosctl.site.objects.fields import Fields
from vosctl.site.own import FileSpec

_FOLDER = "/etc/cron.d"
_WHEN = frozenset(
    {"@reboot", "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Field, least, most, names of the numbers from the least on: crontab(5).
_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_PART = re.compile(r"(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/(\d{1,2}))?")
_LONGEST_MONTH = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}


def build_cron(fields: Fields) -> tuple[FileSpec, ...]:
    """Return the files of the job sets, sorted by path; what cron would not take is a problem."""
    return tuple(
        sorted((_file(name, entry, fields) for name, entry in fields.entries()), key=lambda f: f.path)
    )


def _file(name: str, entry: Fields, table: Fields) -> FileSpec:
    mark = table.tree.key_marks.get(name, entry.tree.mark)
    variables = entry.below("environment")
    lines = [f"# Written by vosctl from cron.{name}."]
    for key in variables.tree.items:
        value = variables.text(key) or ""
        if "\n" in value or '"' in value:
            variables.error("cron-environment", f"the value of {key} has a line end or a quotation mark in it", key=key,
                            hint="cron cannot take these; set it in the command")  # fmt: skip
        lines.append(f'{key}="{value}"')
    lines.extend(_jobs(entry))
    if len(lines) == 1 + len(variables.tree.items):
        entry.problems.error("cron-jobs", f"the job set '{name}' has no job", mark, path=entry.path,
                             hint="list them under jobs, or take the set out")  # fmt: skip
    text = "\n".join(lines) + "\n"
    return FileSpec(f"{_FOLDER}/{name}", text, 0o644, "root", "root", secret=False, reload=None, mark=mark)


def _jobs(entry: Fields) -> Iterator[str]:
    for job in entry.listed_mappings("jobs"):
        when, run = " ".join((job.text("schedule") or "").split()), (job.text("run") or "").strip()
        if when:
            _check_schedule(job, when)
        if "\n" in run:
            job.error(
                "cron-command",
                "a command is one line",
                key="run",
                hint="put the lines into a script, under files",
            )
        # crontab(5): a bare % ends the command, what follows is its input.
        command = re.sub(r"(?<!\\)%", r"\\%", run)
        yield f"{when} {job.text('user') or 'root'} {command}"


def _check_schedule(job: Fields, when: str) -> None:
    why = _wrong(when)
    if why:
        job.error("cron-schedule", f"the schedule '{when}' {why}", key="schedule",
                  hint='write minute, hour, day, month and weekday, as "*/5 * * * *", or @daily')  # fmt: skip


def _wrong(when: str) -> str:
    if when.startswith("@"):
        return "" if when in _WHEN else f"is none of {', '.join(sorted(_WHEN))}"
    words = when.split()
    if len(words) != len(_FIELDS):
        return f"has {len(words)} fields, not {len(_FIELDS)}"
    found = []
    for word, (name, least, most, names) in zip(words, _FIELDS, strict=True):
        numbers = _numbers(word.lower(), least, most, names)
        if numbers is None:
            return f"has '{word}' as {name}, which goes from {least} to {most}"
        found.append(numbers)
    days, months = found[2], found[3]
    never = all(min(days) > _LONGEST_MONTH.get(month, 31) for month in months)
    return "names a day that never comes" if never and words[4] == "*" else ""


def _numbers(word: str, least: int, most: int, names: tuple[str, ...]) -> set[int] | None:
    """Return the numbers that a field stands for, None where it is none."""
    if word in names:
        return {least + names.index(word)}
    found: set[int] = set()
    for part in word.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            return None
        first = int(match[1]) if match[1] else least
        last = int(match[2]) if match[2] else (first if match[1] else most)
        step = int(match[3]) if match[3] else 1
        if not least <= first <= last <= most or step < 1 or (match[3] and match[1] and not match[2]):
            return None
        found.update(range(first, last + 1, step))
    return found
