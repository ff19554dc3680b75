"""Brings own sets and chains together from one state to another, so that rules never miss their sets."""

from __future__ import annotations

from vosctl.push.agent import command, ipsets, iptables, looks, rules
from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from vosctl.push.agent.node import Node
    from vosctl.push.agent.state import State

Sets = dict[str, ipsets.IpSet]


class Firewall:
    """One look at rules and sets of the kernel; ``reason`` says why there is nothing to see."""

    def __init__(self, kernel: iptables.Kernel | None, sets: Sets, reason: str = "", hint: str = "") -> None:
        self.kernel = kernel
        self.sets = sets
        self.reason = reason
        self.hint = hint

    @property
    def own(self) -> dict[int, rules.Tables]:
        """The own chains and hooks by family."""
        return self.kernel.own if self.kernel else {}

    def text(self, family: int) -> str:
        """Return a family's own part as comparable text."""
        return self.kernel.own_text(family) if self.kernel else ""

    def require(self) -> iptables.Kernel:
        """Return the kernel's side; raises AgentError where there is none to see."""
        if self.kernel is None:
            raise AgentError("unsupported", self.reason, hint=self.hint, step="rulesets", item="firewall")
        return self.kernel


def look(node: Node) -> Firewall:
    """Return what the kernel holds now; why not, where it cannot be seen."""
    if not node.is_machine:
        return Firewall(None, {}, "node is a directory")
    try:
        kernel = looks.look()
        return Firewall(kernel, ipsets.capture() if command.find("ipset") else {})
    except AgentError as error:
        return Firewall(None, {}, error.message, error.hint)


class Change:
    """A change of sets and rules, worked out before anything is touched.

    ``put``: sets to make or refill; ``target``: own tables of the families to load; ``base``: for families whose
    rules are as they were loaded, what they were loaded from; ``keep``: names of the sets that stay; every other own
    set goes.
    """

    def __init__(
        self,
        put: Sets,
        target: Mapping[int, rules.Tables],
        keep: set[str],
        base: Mapping[int, rules.Tables] | None = None,
    ) -> None:
        self.put = put
        self.target = dict(target)
        self.keep = keep
        self.base = dict(base or {})
        self._moved: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self.put or self.target)

    def check(self, before: Firewall) -> None:
        """Test the rules without loading them; raises AgentError for what the kernel would refuse."""
        kernel = before.require()
        # Only legacy's test finds a lock that is held; with nft the rehearsal does all that the test does.
        if kernel.backend == "legacy":
            self._test(before)
        if not self._rehearse(before) and kernel.backend != "legacy":
            self._test(before)

    def _test(self, before: Firewall) -> None:
        kernel = before.require()
        for family, tables in self.target.items():
            # Parsing looks at the sets, so new ones can only be tried in the rehearsal.
            text = rules.compose(tables, kernel.own[family])
            if rules.set_names(text) <= set(before.sets) - set(self.put):
                iptables.test(kernel.backend, family, text)

    def _rehearse(self, before: Firewall) -> bool:
        # A kernel takes what it holds already, as long as the sets are what they were.
        base = {} if self.put else self.base
        texts = {family: rules.rehearsal(tables, base.get(family)) for family, tables in self.target.items()}
        texts = {family: text for family, text in texts.items() if text}
        used = set().union(*map(rules.set_names, texts.values()))
        sets = "".join(
            (self.put.get(name) or _empty_copy(before.sets[name])).create(name)
            for name in sorted(used | set(self.put))
            if name in self.put or name in before.sets
        )
        return iptables.rehearse(before.require().backend, sets, texts)

    def apply_sets(self) -> None:
        """Make and refill the sets. Those whose type changes wait under another name for ``apply_rules``."""
        held = self._without_spares() if self.put else {}
        ipsets.make_all({name: new for name, new in self.put.items() if name not in held})
        for name, new in self.put.items():
            old = held.get(name)
            if old is None:
                continue
            spare = ipsets.spare_name(name, held)
            if ipsets.is_adjustable(old, new):
                ipsets.adjust(name, old, new)
            elif new.swaps_with(old) and new.dynamic and old.dynamic:
                ipsets.reshape(name, new, spare)
            elif new.swaps_with(old):
                ipsets.swap(name, new, spare)
            else:
                ipsets.make(spare, new)
                self._moved[name] = spare

    def _without_spares(self) -> Sets:
        held = ipsets.capture()
        spares = [name for name in held if ipsets.is_spare(name, self.keep)]
        if not spares:
            return held
        ipsets.destroy(spares, quiet=True)
        return ipsets.capture()

    def apply_rules(self, held: Iterable[str] | None = None) -> None:
        """Load the rules, then remove the sets that are not wanted any more, of those ``held`` before if that is known."""
        if self._moved:
            held = None
            self._apply_moved()
        kernel = looks.look()
        inputs: dict[int, str] = {}
        replaced: dict[int, rules.Replaced | None] = {}
        for family, tables in self.target.items():
            base, own = self.base.get(family), kernel.own[family]
            inputs[family] = rules.compose(tables, own, base)
            replaced[family] = rules.replaced(tables, own, base)
        looks.load(inputs, replaced)
        self.remove_sets(held)

    def _apply_moved(self) -> None:
        # A set that rules use can be neither swapped with another type nor removed: first the rules
        # move to the set under its spare name, then the old one makes room.
        kernel = looks.look()
        self.base.clear()
        for family, own in kernel.own.items():
            tables = self.target.setdefault(family, own)
            moved = rules.rename_sets(tables, self._moved)
            iptables.load(kernel.backend, family, rules.compose(moved, own))
        for name in self._moved:
            ipsets.destroy([name])
            ipsets.make(name, self.put[name])

    def remove_sets(self, held: Iterable[str] | None = None) -> None:
        """Remove own sets that are not to be kept; raises AgentError for one that is in use."""
        if command.find("ipset"):
            ipsets.destroy(sorted((ipsets.names() if held is None else set(held)) - self.keep))


def _empty_copy(original: ipsets.IpSet) -> ipsets.IpSet:
    return ipsets.IpSet(original.type, original.family, original.maxelem, [], original.options)


def wanted_change(
    wanted: dict[str, Any], items: dict[str, Any], differing: Differences, base: Mapping[int, rules.Tables]
) -> Change:
    """Return the change towards the wanted state, from what was sent; raises AgentError for what is missing.

    ``base``: see Change.
    """
    put = {}
    for item in wanted["sets"]:
        if item["name"] in differing.sets:
            members = items.get("sets", {}).get(item["name"])
            if members is None:
                raise AgentError(
                    "unsupported", f"set {item['name']} differs and its members were not sent", step="check"
                )
            put[item["name"]] = ipsets.wanted_set(item, members)
    target: dict[int, rules.Tables] = {}
    for family in differing.families:
        target[family] = _target(wanted, items, family, differing.texts.get(family))
    return Change(put, target, {item["name"] for item in wanted["sets"]}, base)


def loaded_from(state: State, observed: dict[str, Any]) -> dict[int, rules.Tables]:
    """Return by family what its rules were loaded from, where they are still as they were then."""
    found = {}
    stored = (state.load("firewall") or {}).get("rulesets") or {}
    for family, item in stored.items():
        seen = observed["rulesets"].get(family) or {}
        if seen.get("intact") and seen.get("loaded") == item["digest"] and item["text"] is not None:
            found[int(family)] = rules.wanted_tables(item["text"], item["hooks"])
    return found


def _target(wanted: dict[str, Any], items: dict[str, Any], family: int, stored: str | None) -> rules.Tables:
    item = next((item for item in wanted["rulesets"] if item["family"] == family), None)
    if item is None:
        return {}
    text = items.get("rulesets", {}).get(str(family), stored)
    if text is None:
        raise AgentError("unsupported", f"the IPv{family} rules differ and were not sent", step="check")
    return rules.wanted_tables(text, item["hooks"])


class Differences:
    """Which sets and families are not as wanted; ``texts``: wanted rulesets that the node has stored."""

    def __init__(self, sets: set[str], families: list[int], texts: dict[int, str]) -> None:
        self.sets = sets
        self.families = families
        self.texts = texts


def compare(wanted: dict[str, Any], observed: dict[str, Any]) -> Differences:
    """Return what of an observed state is not as wanted."""
    sets = {
        item["name"]
        for item in wanted["sets"]
        if observed["sets"].get(item["name"], {}).get("digest") != item["digest"]
    }
    digests = {item["family"]: item["digest"] for item in wanted["rulesets"]}
    families, texts = [], {}
    for family in (4, 6):
        found = observed["rulesets"].get(str(family))
        stale = observed["orphans"]["chains"].get(str(family))
        as_wanted = found is not None and found["loaded"] == digests.get(family) and found["intact"]
        if stale or (family in digests and not as_wanted):
            families.append(family)
        if found and found["loaded"] == digests.get(family) and found["text"] is not None:
            texts[family] = found["text"]
    return Differences(sets, families, texts)


def restored_change(saved: dict[str, Any], now: Firewall) -> Change:
    """Return the change back to what ``save`` recorded."""
    sets = {name: ipsets.IpSet.of(record) for name, record in saved["sets"].items()}
    put = {
        name: item
        for name, item in sets.items()
        if name not in now.sets or now.sets[name].record() != item.record()
    }
    target = {
        int(family): rules.parse(text)
        for family, text in saved["rulesets"].items()
        if put or now.text(int(family)) != text
    }
    return Change(put, target, set(sets))


def save(before: Firewall) -> dict[str, Any]:
    """Return own sets and rules as JSON can hold them, for ``restored_change``."""
    return {
        "sets": {name: item.record() for name, item in before.sets.items()},
        "rulesets": {str(family): before.text(family) for family in before.own},
    }


def remember(
    state: State, wanted: dict[str, Any], items: dict[str, Any], change: Change, before: Firewall
) -> None:
    """Store what was loaded: to load it again after a reboot, and to see later whether it is intact."""
    same_sets = not change.put and set(before.sets) <= change.keep
    after = Firewall(looks.look(), before.sets) if same_sets else look(state.node)
    old = (state.load("firewall") or {}).get("rulesets", {})
    rulesets: dict[str, Any] = {}
    for item in wanted["rulesets"]:
        family = str(item["family"])
        text = items.get("rulesets", {}).get(family)
        if text is None and old.get(family, {}).get("digest") == item["digest"]:
            text = old[family]["text"]
        rulesets[family] = {"digest": item["digest"], "text": text, "hooks": item["hooks"]}
    state.store("firewall", {"rulesets": rulesets, "sets": save(after)["sets"]})
    mark_loaded(state, after, {family: item["digest"] for family, item in rulesets.items()}, change.target)


def mark_loaded(
    state: State, after: Firewall, digests: Mapping[str, str], families: Mapping[int, Any]
) -> None:
    """Write the marker of what the kernel holds; families that were not loaded keep theirs."""
    loaded = state.load("loaded") or {}
    for family in families:
        loaded[str(family)] = {"digest": digests.get(str(family)), "then": after.text(family)}
    state.store("loaded", {family: item for family, item in loaded.items() if item["digest"] is not None})


def load_stored(state: State) -> bool:
    """Load the stored firewall, as at boot; return whether there was one. Raises AgentError."""
    stored = state.load("firewall")
    if not stored or not stored["rulesets"]:
        return False
    now = look(state.node)
    now.require()
    sets = {name: ipsets.IpSet.of(record) for name, record in stored["sets"].items()}
    put = {
        name: item
        for name, item in sets.items()
        if name not in now.sets or now.sets[name].record() != item.record()
    }
    target = {
        int(family): rules.wanted_tables(item["text"], item["hooks"])
        for family, item in stored["rulesets"].items()
        if item["text"] is not None
    }
    change = Change(put, target, set(sets))
    change.apply_sets()
    change.apply_rules()
    digests = {family: item["digest"] for family, item in stored["rulesets"].items()}
    mark_loaded(state, look(state.node), digests, change.target)
    return True
