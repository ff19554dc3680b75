"""A git revision's files in a folder of their own, for as long as they are read; the repository stays as it is."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vosctl.errors import UsageError


def top_folder() -> Path:
    """Return the folder of the working tree around the current folder; raise UsageError where there is none."""
    return Path(_git("rev-parse", "--show-toplevel", failed="the current folder is in no git repository"))


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """Yield what the current folder is in ``revision``; raise UsageError where git knows no such thing.

    Written by way of an index of its own, so that neither the repository's index nor its list of
    worktrees changes, and files that an archive would leave out are there.
    """
    top = top_folder()
    failed = f"git knows no revision {revision!r}"
    commit = _git(
        "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}", failed=failed
    )
    with tempfile.TemporaryDirectory(prefix="vosctl-diff-") as folder:
        environment = {**os.environ, "GIT_INDEX_FILE": f"{folder}/index"}
        tree = Path(folder, "tree")
        for words in (("read-tree", commit), ("checkout-index", "--all", f"--prefix={tree}/")):
            _git("-C", str(top), *words, failed=f"{revision} cannot be checked out", environment=environment)
        here = tree / Path.cwd().resolve().relative_to(top.resolve())
        if not here.is_dir():
            raise UsageError(
                f"{revision} has no folder {here.relative_to(tree)}", hint="change to one that it has"
            )
        yield here


def _git(*words: str, failed: str, environment: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(("git", *words), capture_output=True, text=True, check=False, env=environment)
    except FileNotFoundError as error:
        raise UsageError("git is not installed", hint="apt-get install git") from error
    if done.returncode:
        raise UsageError(failed, hint=done.stderr.strip())
    return done.stdout.strip()
