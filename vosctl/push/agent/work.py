"""Works out, before anything is touched, everything that an apply will do to the node."""

from __future__ import annotations

from vosctl.push.agent import clock, dataplane, files, firewall, release, services, sysctls, users
from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vosctl.push.agent.firewall import Firewall
    from vosctl.push.agent.state import State


class Work:
    """What differs between an observed and a wanted state, as things to do.

    - ``put``: wanted files to write, with their content and owner; ``remove``: paths of orphans.
    - ``users``: users with what is done to them (see ``users.due``).
    - ``release``: the release to switch to; ``archive``: its bytes when it has to be unpacked.
    - ``firewall``: the change of sets and rules, None where the node has none to change.
    - ``settings``: sysctls to write; ``late``: those that this kernel does not have yet, they may come with
      the modules that rules load; ``originals``: values that managed sysctls had before; ``enable``: services whose start at boot changes.
    - ``actions``: services with what they need (see ``services.due``).
    """

    def __init__(
        self,
        state: State,
        wanted: dict[str, Any],
        items: dict[str, Any],
        observed: dict[str, Any],
        now: Firewall,
    ) -> None:
        self.node = state.node
        self.wanted = wanted
        self.items = items
        self.observed = observed
        self.before = now
        self.applied = state.applied()
        self.remove: list[str] = observed["orphans"]["files"]
        self._content: dict[str, bytes] = {}
        self.put = [item for item in wanted["files"] if files.differs(observed["files"][item["path"]], item)]
        self.users = self._users()
        self._loaded_from = firewall.loaded_from(state, observed) if now.kernel is not None else {}
        self.release = self._release()
        self.archive: bytes | None = None
        self.firewall = self._firewall()
        self.settings = self._settings()
        self.late = self._late()
        self.originals = self._originals()
        self.enable = [item for item in wanted["services"] if self._enable_differs(item)]
        self.actions = self._actions()

    def _users(self) -> list[tuple[dict[str, Any], str]]:
        if not self.node.is_machine:
            return []
        found = self.observed["users"]
        each = [(item, users.due(item, found[item["name"]])) for item in self.wanted.get("users") or ()]
        return [(item, action) for item, action in each if action]

    def _release(self) -> dict[str, Any] | None:
        """Return the release to switch to, also the one in use where its data plane can be compiled by now."""
        wanted: dict[str, Any] | None = self.wanted.get("release")
        found = self.observed["release"]
        if not wanted or (found and found["digest"] == wanted["digest"] and not _can_be_made_whole(found)):
            return None
        return wanted

    def _firewall(self) -> firewall.Change | None:
        if not self.node.is_machine:
            return None
        if self.before.kernel is None:
            if self.wanted["sets"] or self.wanted["rulesets"]:
                self.before.require()
            return None
        return firewall.wanted_change(
            self.wanted, self.items, firewall.compare(self.wanted, self.observed), self._loaded_from
        )

    def _settings(self) -> list[tuple[str, str]]:
        if not self.node.is_machine:
            return []
        keys = {item["key"] for item in self.wanted["sysctls"]}
        changes = []
        for item in self.wanted["sysctls"]:
            found = self.observed["sysctls"][item["key"]]
            if (
                not found["held"]
                and found["value"] is not None
                and not sysctls.equal(found["value"], item["value"])
            ):
                changes.append((item["key"], item["value"]))
        for key, original in (self.applied.get("originals") or {}).items():
            if key not in keys and original is not None and not sysctls.equal(sysctls.read(key), original):
                changes.append((key, original))
        return changes

    def _late(self) -> list[tuple[str, str]]:
        found = self.observed["sysctls"]
        missing = [item for item in self.wanted["sysctls"] if found[item["key"]]["value"] is None]
        return [(item["key"], item["value"]) for item in missing if not found[item["key"]]["held"]]

    def _enable_differs(self, item: dict[str, Any]) -> bool:
        found = self.observed["services"][item["name"]]
        return bool(found["enabled"] != item["enabled"]) and services.runner(self.node, item) is not None

    def _actions(self) -> list[tuple[dict[str, Any], str]]:
        paths = {item["path"] for item in self.put} | set(self.remove)
        reloads, restarts = self._readers("reload"), self._readers("restart")
        actions = []
        for item in self.wanted["services"]:
            found = self.observed["services"][item["name"]]
            action = services.due(
                item,
                found,
                files=paths,
                reloads=reloads,
                restarts=restarts,
                release=self.release is not None,
                systemd=self.node.has_systemd,
            )
            if action and services.runner(self.node, item) is not None:
                actions.append((item, action))
        named = {item["name"] for item in self.wanted["services"]}
        actions += [(other, "restart") for other in self._others(sorted(restarts - named))]
        return actions + [(other, "reload") for other in self._others(sorted(reloads - restarts - named))]

    def _readers(self, verb: str) -> set[str]:
        """Return the services that changing files want to ``reload`` or ``restart``, removed ones as of the last apply."""
        known = self.applied.get(f"{verb}s") or {}
        found = {str(item[verb]) for item in self.put if item.get(verb)}
        return found | {name for path, name in known.items() if path in self.remove}

    def _others(self, names: list[str]) -> list[dict[str, Any]]:
        # Files may name a service that the site does not manage: it reads its file again if it runs.
        found = []
        for name in names:
            item = {"name": name, "state": "running", "enabled": True, "supervise": [], "pidfile": ""}
            driver = services.runner(self.node, item)
            if driver is not None and (not driver.known or driver.running()):
                found.append(item)
        return found

    def earlier(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return a service with the command of the last apply: its program may not know the new one's words."""
        known = {each["name"]: each for each in self.applied.get("services") or ()}
        before = known.get(item["name"]) or {}
        return {**item, **{key: before[key] for key in ("supervise", "pidfile") if before.get(key)}}

    def load_content(self) -> list[tuple[dict[str, Any], bytes, tuple[int, int]]]:
        """Return the files to write with content and owner; raises AgentError for what was not sent or is unknown."""
        found = self.observed["files"]
        for item in self.put:
            if item["path"] not in self._content:
                self._content[item["path"]] = files.content(item, self.items, found[item["path"]], self.node)
        return [(item, self._content[item["path"]], self._owner(item)) for item in self.put]

    def _owner(self, item: dict[str, Any]) -> tuple[int, int]:
        try:
            return files.owner_ids(self.node, item)
        except AgentError:
            # The apply makes the user first, and then asks again.
            if item["owner"] in {each["name"] for each, action in self.users if action == "create"}:
                return -1, -1
            raise

    def load_archive(self) -> None:
        """Decode the release's archive when the node lacks it; raises AgentError."""
        if self.release is None or release.is_unpacked(self.node, self.release):
            return
        text = (self.items.get("release") or {}).get("archive")
        if text is None:
            raise AgentError(
                "unsupported", "the node lacks the release and it was not sent", item="release", step="check"
            )
        self.archive = release.decode(text, self.release)

    @property
    def changed(self) -> list[str]:
        """What is going to change, for people, as ``file /etc/…``, ``set vos-…`` or ``rules v4``."""
        found = [f"release {release.name_of(self.release)}"] if self.release else []
        found += [f"user {item['name']} {action}" for item, action in self.users]
        found += [f"file {item['path']}" for item in self.put] + [
            f"file {path} removed" for path in self.remove
        ]
        if self.firewall:
            found += [f"set {name}" for name in self.firewall.put]
            found += [f"set {name} removed" for name in self.stale_sets]
            found += [f"rules v{family}" for family in self.firewall.target]
        elif self.stale_sets:
            found += [f"set {name} removed" for name in self.stale_sets]
        found += [f"sysctl {key}" for key, _ in self.settings]
        found += [
            f"service {item['name']} {'enabled' if item['enabled'] else 'disabled'}" for item in self.enable
        ]
        return found + [f"service {item['name']} {action}" for item, action in self.actions]

    @property
    def stale_sets(self) -> list[str]:
        """Own sets that are not wanted any more."""
        return list(self.observed["orphans"]["sets"]) if self.node.is_machine else []

    def result(self, identity: str, holder: str, revision: str | None) -> dict[str, Any]:
        """Return the applied state that the work leads to."""
        wanted = self.wanted
        return {
            "id": identity,
            "node": wanted.get("node"),
            "holder": holder,
            "revision": revision,
            "time": clock.now(),
            "confirmed": False,
            "release": wanted.get("release"),
            "files": {item["path"]: item["digest"] for item in wanted["files"]},
            "reloads": {item["path"]: item["reload"] for item in wanted["files"] if item.get("reload")},
            "restarts": {item["path"]: item["restart"] for item in wanted["files"] if item.get("restart")},
            "sets": {item["name"]: item["digest"] for item in wanted["sets"]},
            "rulesets": {str(item["family"]): item["digest"] for item in wanted["rulesets"]},
            "sysctls": {item["key"]: item["value"] for item in wanted["sysctls"]},
            "originals": self.originals,
            "packages": wanted["packages"],
            "users": {item["name"]: item for item in wanted.get("users") or ()},
            "services": wanted["services"],
        }

    def _originals(self) -> dict[str, str]:
        known = self.applied.get("originals") or {}
        found = {}
        for item in self.wanted["sysctls"]:
            seen = self.observed["sysctls"][item["key"]]
            value = known.get(item["key"], seen["value"])
            if value is not None and not seen["held"]:
                found[item["key"]] = value
        return found


def _can_be_made_whole(found: dict[str, Any]) -> bool:
    return bool(found.get("missing")) and dataplane.can_compile()[0]
