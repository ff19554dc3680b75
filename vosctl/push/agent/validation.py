"""Runs the site's own checks of new files, on copies, before anything is put in place."""

from __future__ import annotations

import os
import shlex

from vosctl.push.agent import command, durable
from vosctl.push.agent.errors import AgentError, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vosctl.push.agent.node import Node
    from vosctl.push.agent.work import Work

SECONDS = 60.0
MOST_SAID = 1000
FOLDER = "validate"


def check(work: Work) -> None:
    """Raise AgentError for the first changing file whose command does not accept its new content."""
    checked = [each for each in work.load_content() if each[0].get("validate")]
    if not checked:
        return
    folder = work.node.state(FOLDER)
    try:
        durable.remove_tree(folder)
        os.mkdir(folder, 0o700)
        for number, (item, data, (uid, gid)) in enumerate(checked):
            # Under its own name: programs go by the end of a name.
            os.mkdir(f"{folder}/{number}", 0o700)
            place = f"{folder}/{number}/{os.path.basename(item['path'])}"
            durable.stage(place, data, mode=item["mode"], uid=uid, gid=gid)
            durable.commit(place)
            _check_one(work.node, item, place)
    except OSError as error:
        raise from_os(error, step="validate") from error
    finally:
        durable.remove_tree(folder)


def _check_one(node: Node, item: dict[str, Any], place: str) -> None:
    words = [word.replace("%s", place) for word in shlex.split(item["validate"])]
    # As everywhere in the agent, the program is found as root would find it.
    inside = ("/bin/sh", "-c", 'cd "$0" && exec "$@"', node.root or "/", *words)
    try:
        result = command.run(inside, seconds=SECONDS)
    except AgentError as error:
        raise _refused(item, error.message) from error
    if result.code:
        said = (result.err.strip() or result.out.strip()).replace(place, item["path"])
        raise _refused(item, f"exit code {result.code}: {_shown(item, said)}")


def _shown(item: dict[str, Any], said: str) -> str:
    if item.get("secret"):
        return "what it said is not shown, the file is secret"
    return "; ".join(line.strip() for line in said.splitlines())[-MOST_SAID:] or "it said nothing"


def _refused(item: dict[str, Any], why: str) -> AgentError:
    where = f" ({item['origin']})" if item.get("origin") else ""
    message = f"{item['path']}{where} does not pass '{item['validate']}': {why}"
    hint = "nothing was changed; put the file right in the site, or its validate"
    return AgentError("io", message, hint=hint, item=item["path"], step="validate")
