"""The demo's steps, one after another, on whichever ground it stands."""

from __future__ import annotations

from pathlib import Path

from vosctl.demo import call, scanner, wav
from vosctl.demo.ground import FleetGround, ask_relay
from vosctl.demo.hosts import ADDRESSES, EDGES
from vosctl.demo.screen import Screen
from vosctl.demo.stage import Stage, change
from vosctl.errors import VosctlError
from vosctl.fleet import Fleet

PLAYBOOK = "playbooks/site.yml"
SPEECH_SECONDS = 5.0
CHANGES_PENDING = 3

EDITED = "inventory/host_vars/edge-a.yml"
EDIT = ("addresses: [10.231.0.10]\n    tier: medium", "addresses: [10.231.0.10]\n    tier: large")

BURSTS = (
    scanner.Burst("friendly-scanner sweep", "attacker", "REGISTER", "friendly-scanner", 200),
    scanner.Burst("sipcli calls", "attacker", "INVITE", "sipcli/v1.8", 200),
    scanner.Burst("password guessing", "attacker", "REGISTER", "Softphone 4.2", 600),
    scanner.Burst("a customer's calls", "customer", "INVITE", "Acme SBC", 5),
)


def apply(stage: Stage, screen: Screen) -> None:
    """Apply the whole site; raises VosctlError where a node did not take it."""
    screen.command(f"vosctl apply {PLAYBOOK}")
    _succeed(stage.run("apply", PLAYBOOK), "apply")


def place_call(stage: Stage, screen: Screen, directory: Path) -> None:
    """Call through both nodes with a reload of both relays in mid-call; raises VosctlError unless it is perfect."""
    voices = []
    for seed, name in enumerate(("customer", "vendor")):
        path = directory / f"{name}.wav"
        wav.speak(path, SPEECH_SECONDS, seed=seed)
        voices.append(wav.frames(wav.encode(wav.read(path))))
    route = call.find_route(stage.ground, "customer", "vendor", EDGES, known_as=ADDRESSES)

    def reload() -> None:
        for node in EDGES:
            ask_relay(stage.ground, node, "reload")

    made = call.place(stage.ground, route, voices[0], voices[1], during=reload)
    wav.write(directory / "heard.wav", wav.decode(made.there.heard))
    _tell_call(made, screen)


def _tell_call(made: call.Call, screen: Screen) -> None:
    route, there, back = made.route, made.there, made.back
    crypto = there.crypto
    how = f"{crypto.mode}, key {crypto.kid}" if crypto else "in clear"
    screen.note(
        f"{route.caller} ({route.from_gateway}) → {route.first} ⇄ {route.second} → {route.callee} "
        f"({route.to_gateway}), trunk {route.trunk}: {how}"
    )
    for name, way in (("there", there), ("back", back)):
        heard = f"{len(way.heard) // wav.FRAME} of {way.proof.frames} packets"
        exact = f"bit for bit (sha256 {way.digest[:12]}…)" if way.exact else "NOT what was spoken"
        screen.result(name, f"{heard}, {exact}", good=way.exact)
    proofs = (there.proof, back.proof)
    packets, plain, recovered = (
        sum(getattr(p, field) for p in proofs) for field in ("packets", "plain", "recovered")
    )
    holds = all(proof.holds for proof in proofs)
    screen.result(
        "trunk",
        f"{packets} packets seen on the wire, {plain} in clear, {recovered} decrypt to the voice",
        good=holds,
    )
    screen.result(
        "reload", "both relays read their configuration again in mid-call", good=there.exact and back.exact
    )
    if not (there.exact and back.exact and holds):
        raise VosctlError("the call was not perfect", hint="see above which way failed")


def scan(stage: Stage, fleet: Fleet, screen: Screen) -> None:
    """Scan the first node and show what its firewall dropped; raises VosctlError where it let too much pass."""
    node = EDGES[0]
    before = {(c.table, c.chain, c.rule): c.packets for c in scanner.counters(fleet, node)}
    outcomes = scanner.run(stage.ground, node, BURSTS)
    for outcome in outcomes:
        genuine = outcome.burst.host != "attacker"
        good = outcome.reached == outcome.sent if genuine else outcome.reached < outcome.sent / 4
        screen.result("passed" if genuine else "dropped",
                      f"{outcome.burst.name}: {outcome.reached} of {outcome.sent} reached the proxy", good=good)  # fmt: skip
        if not good:
            raise VosctlError(f"{node}'s firewall failed: {outcome.burst.name}")
    screen.note(f"dropped on {node}, as iptables counts:")
    for counter in scanner.counters(fleet, node):
        caught = counter.packets - before.get((counter.table, counter.chain, counter.rule), 0)
        if caught:
            screen.note(f"{caught:>6}  {counter.chain:<16} {counter.rule}")


def compiled(stage: Stage, screen: Screen) -> None:
    """Show what each node's firewall would be where none can be loaded."""
    screen.command(f"vosctl compile {PLAYBOOK}")
    _succeed(stage.run("compile", PLAYBOOK), "compile")
    screen.note("compiled, not loaded: without root there is no firewall to load into")


def apply_again(stage: Stage, screen: Screen) -> None:
    """Apply what is there already; raises VosctlError where anything was left to change."""
    screen.command(f"vosctl apply {PLAYBOOK}")
    _succeed(stage.run("apply", PLAYBOOK), "apply")
    pending = stage.ask("plan", "--detailed-exitcode", PLAYBOOK)
    _succeed(pending.returncode, "plan", pending.stdout + pending.stderr)
    screen.result("unchanged", "nothing differed, so nothing was touched")


def change_one_value(stage: Stage, screen: Screen) -> None:
    """Edit one value of the site and show the plan of just that."""
    change(stage.site / EDITED, *EDIT)
    screen.note(f"{EDITED}:")
    for mark, line in zip("-+", (text.splitlines()[-1] for text in EDIT), strict=True):
        screen.note(f"  {mark} {line}")
    screen.command(f"vosctl plan --diff {PLAYBOOK}")
    code = stage.run("plan", "--diff", "--detailed-exitcode", PLAYBOOK)
    if code != CHANGES_PENDING:
        raise VosctlError(f"vosctl plan ended with {code}, and should have found the edit (exit code 3)")


def fleet_of(stage: Stage) -> Fleet | None:
    """Return the fleet that a stage stands on; None for directories."""
    return stage.ground.fleet if isinstance(stage.ground, FleetGround) else None


def _succeed(code: int, what: str, said: str = "") -> None:
    if code != 0:
        raise VosctlError(f"vosctl {what} ended with {code}{': ' + said.strip() if said else ''}")
