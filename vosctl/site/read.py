"""The front door: from the files that operators write to a checked Site, with all problems at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from vosctl.site.check.schema import Kind, check_schema
from vosctl.site.check.site import check_site
from vosctl.site.inventory.load import Inventory, load_inventory
from vosctl.site.inventory.patterns import limit
from vosctl.site.inventory.playbook import Playbook, load_playbook, rollouts, targets
from vosctl.site.model import Site
from vosctl.site.objects.site import build_site
from vosctl.site.problems import Problem, Problems, Severity
from vosctl.site.suggest import listed
from vosctl.site.text.loader import shown
from vosctl.site.tree import Mapping as Tree
from vosctl.site.tree import Mark, Scalar
from vosctl.site.variables.extra import load_extra_vars
from vosctl.site.variables.layers import resolve

# Where a file could not be read, what seems to be missing may stand in it.
_UNREAD = frozenset(
    {
        "file-missing",
        "file-unreadable",
        "yaml-encoding",
        "yaml-syntax",
        "yaml-too-deep",
        "yaml-too-large",
        "vault-locked",
        "vault-password",
        "vault-removed",
        "vault-not-recipient",
        "vault-truncated",
        "vault-header",
        "vault-moved",
        "vault-value",
        "vault-altered",
        "vault-version",
        "vault-cost",
        "vault-ansible",
        "vault-shape",
    }
)
_ABSENCE = frozenset(
    {
        "admin-missing",
        "admin-port",
        "gateway-addresses",
        "gateway-limits",
        "gateway-login",
        "gateway-port",
        "jitter-incomplete",
        "key-unused",
        "missing-key",
        "plain-secret",
        "profit-deck",
        "relay-address",
        "trunk-key",
        "unknown-jitter-buffer",
        "unknown-key-name",
        "unknown-node",
        "unknown-rate-group",
    }
)


class SiteOptions(Struct, frozen=True):
    """Which site is meant: a playbook, inventories (later ones win), a limit and ``-e`` variables."""

    playbook: Path | None = None
    inventory: tuple[Path, ...] = ()
    limit: str | None = None
    extra_vars: tuple[str, ...] = ()


class Inputs(Struct, frozen=True):
    """What was read, before anything is built.

    ``play_vars`` are the variables of its plays for each host that a play names (without a
    playbook, for every host); ``selected`` are the hosts that ``--limit`` leaves of those.
    """

    folder: Path
    inventory: Inventory
    playbook: Playbook | None
    play_vars: Mapping[str, tuple[Tree, ...]]
    extra_vars: tuple[Tree, ...]
    selected: tuple[str, ...]

    def variables(self, host: str) -> Tree:
        """Return the merged variables of a host."""
        return resolve(self.inventory, host, self.play_vars.get(host, ()), self.extra_vars)


def read_site(options: SiteOptions) -> tuple[Site, Problems]:
    """Return the site and everything that is wrong with it; with errors, the site is only a part.

    Later stages keep silent about a place that an earlier one found wrong.
    """
    problems = Problems()
    inputs = read_inputs(options, problems)
    return build(inputs, problems), problems


def build(inputs: Inputs, problems: Problems) -> Site:
    """Return the site that was read, checked as a whole; what is wrong is added to ``problems``."""
    later = Problems()
    _check_schemas(inputs, later)
    _add_news(problems, later)
    later = Problems()
    variables = {host: inputs.variables(host) for host in inputs.inventory.hosts}
    built = build_site(
        inputs.inventory, variables, selected=inputs.selected, folder=inputs.folder, problems=later
    )
    check_site(built, later)
    _add_news(problems, later)
    book = inputs.playbook
    found = rollouts(book, inputs.inventory, inputs.selected) if book is not None else ()
    return replace(built.site, rollouts=found)


def site_folder(options: SiteOptions) -> Path:
    """Return the folder of the site that ``options`` point to, before anything is read."""
    return _locate(options)[0]


def read_inputs(options: SiteOptions, problems: Problems) -> Inputs:
    """Return all that ``options`` point to, read and unchecked; what cannot be read is a problem."""
    folder, inventories = _locate(options)
    found = [path for path in inventories if path.exists()]
    for path in inventories:
        if path not in found:
            hint = "name the inventory with -i, or make a folder inventory/ with hosts.yml"
            problems.error("inventory-missing", "there is no inventory", Mark(shown(path), 1, 1), hint=hint)
    inventory = load_inventory(tuple(found), problems)
    playbook = load_playbook(options.playbook, problems) if options.playbook is not None else None
    play_vars: Mapping[str, tuple[Tree, ...]] = dict.fromkeys(inventory.hosts, ())
    if playbook is not None:
        play_vars = targets(playbook, inventory, problems)
    extra = load_extra_vars(options.extra_vars, problems)
    selected = tuple(play_vars)
    if options.limit is not None:
        selected = limit(inventory, selected, options.limit, Mark("--limit", 1, 1), problems)
    if not selected:
        _report_nobody(options, inventory, playbook, problems)
    return Inputs(folder, inventory, playbook, play_vars, extra, selected)


def _locate(options: SiteOptions) -> tuple[Path, tuple[Path, ...]]:
    """Return the site's folder and its inventories: those given, or the site's own ``inventory``.

    The folder is the first of: the one above the playbook's, the playbook's own, the current one
    (without a playbook: the current one) that has an ``inventory``.
    """
    near = [Path()]
    if options.playbook is not None:
        beside = options.playbook.parent
        near = [beside / ".." if beside.name in ("", "..") else beside.parent, beside, *near]
    folder = next((folder for folder in near if (folder / "inventory").exists()), None)
    if options.inventory:
        return folder or options.inventory[0].parent, options.inventory
    return folder or near[0], ((folder or Path()) / "inventory",)


def _report_nobody(
    options: SiteOptions, inventory: Inventory, playbook: Playbook | None, problems: Problems
) -> None:
    if any(problem.severity is Severity.ERROR for problem in problems.found):
        return  # something that could not be read is the better reason
    hosts = f"hosts in the inventory: {listed(inventory.hosts) or 'none'}"
    mark = Mark("--limit", 1, 1)
    if options.limit is not None:
        message = f"no host is left by --limit {options.limit}"
    elif playbook is not None and options.playbook is not None:
        mark = playbook.plays[0].hosts_mark if playbook.plays else Mark(shown(options.playbook), 1, 1)
        message = "no play matches a host"
    else:
        mark = Mark(shown(_locate(options)[1][0]), 1, 1)
        message = "the inventory has no hosts"
    problems.error("no-hosts", message, mark, hint=hosts)


def _check_schemas(inputs: Inputs, problems: Problems) -> None:
    for document in inputs.inventory.documents:
        if not _is_empty(document):
            check_schema(document, Kind.HOSTS, problems)
    for source in inputs.inventory.sources:
        if not source.inline:
            check_schema(source.tree, Kind.VARS, problems)
    if inputs.playbook is not None and inputs.playbook.document is not None:
        check_schema(inputs.playbook.document, Kind.PLAYBOOK, problems)
    for tree in inputs.extra_vars:
        check_schema(tree, Kind.VARS, problems)


def _is_empty(document: object) -> bool:
    return isinstance(document, Scalar) and document.value is None


def _add_news(problems: Problems, later: Problems) -> None:
    """Add later findings, but for those that an error found earlier explains."""
    known = {problem.mark for problem in problems.found if problem.severity is Severity.ERROR}
    unread = any(problem.rule in _UNREAD for problem in problems.found)
    misspelt = _misspelt(problems)
    for problem in later.found:
        explained = problem.rule in _ABSENCE and (unread or _is_misspelt(problem, misspelt))
        if problem.mark not in known and not explained:
            problems.found.append(problem)


def _misspelt(problems: Problems) -> Mapping[str, set[str]]:
    """Return the keys that were probably meant, by the path of the mapping in which a like one stands."""
    found: dict[str, set[str]] = {}
    for problem in problems.found:
        meant = re.search(r"did you mean '([^']+)'", problem.message)
        if problem.rule == "unknown-key" and meant:
            found.setdefault(problem.path.rpartition(".")[0], set()).add(meant[1])
    return found


def _is_misspelt(problem: Problem, misspelt: Mapping[str, set[str]]) -> bool:
    """Whether what is missing stands there after all, with a slip in its name."""
    above, _, last = problem.path.rpartition(".")
    words = set(re.findall(r"[a-z_]+", problem.message))
    return last in misspelt.get(above, ()) or bool(words & misspelt.get(problem.path, set()))
