"""Changes nodes batch after batch: each must be healthy before the next begins, or goes back whole."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from vosctl.errors import HostError, RolledBackError, UnreachableError
from vosctl.push import gates, operations
from vosctl.push.apply import Apply
from vosctl.push.event import (
    BatchStarted,
    Event,
    GateChecked,
    GoingBack,
    HostFinished,
    Pausing,
    RolledBack,
    Stopped,
)
from vosctl.push.host import Host
from vosctl.push.journal import Entry
from vosctl.push.options import PushOptions
from vosctl.push.processor import Processor, Stream
from vosctl.push.result import HostResult, Status
from vosctl.push.runner import Operation, run
from vosctl.push.schedule import Batch
from vosctl.site.model import Site
from vosctl.site.rollout import Check

Results = dict[str, HostResult]
_BAD = frozenset({Status.FAILED, Status.UNREACHABLE, Status.ROLLED_BACK})


class RollOut(Struct, frozen=True):
    """A run over batches. ``entry`` is the journal's, None where there is none."""

    site: Site
    apply: Apply
    batches: Sequence[Batch]
    options: PushOptions
    stream: Stream
    entry: Entry | None = None

    def run(self) -> Results:
        """Return what became of each node, in the order of the batches; errors are in the results.

        An interrupt goes on up; the journal then says of nodes in the middle of a change that nobody knows.
        """
        found: Results = {}
        try:
            for number, batch in enumerate(self.batches, 1):
                results, why = self._batch(number, batch)
                found.update(results)
                self._note(results)
                if why:
                    self._stop(number, why, found)
                    break
                if number < len(self.batches) and batch.rollout.pause:
                    self.stream.handle(Pausing(batch.rollout.pause))
                    time.sleep(batch.rollout.pause)
        finally:
            if self.entry is not None:
                self.entry.end()
        return found

    def _stop(self, number: int, why: str, found: Results) -> None:
        left = [name for batch in self.batches[number:] for name in batch.nodes]
        self.stream.handle(Stopped(number, why, tuple(left)))
        for later, batch in enumerate(self.batches[number:], number + 1):
            words = {"batch": later, "outcome": f"not touched: the run stopped in batch {number}"}
            found.update({name: HostResult(name, Status.UNTOUCHED, report=words) for name in batch.nodes})

    def _batch(self, number: int, batch: Batch) -> tuple[Results, str]:
        """Return how the nodes came out, and why the run has to stop there."""
        self.stream.handle(BatchStarted(number, len(self.batches), batch.nodes))
        health = batch.rollout.health
        calls = self._count(batch.nodes) if any(gate.check is Check.CALLS for gate in health) else {}
        if self.entry is not None:
            self.entry.begin(batch.nodes)
        results = self._run(batch.nodes, self.apply, (self.stream, *self._memory(batch)))
        why = _too_many(batch, results, last=number == len(self.batches))
        failed: Results = {}
        if not why and health:
            failed = self._check(batch, results, calls)
            why = _first(failed)
        if why and (failed or batch.rollout.max_fail_percentage is not None):
            results = self._go_back(number, results, failed, why)
        return (_told(results, number) if len(self.batches) > 1 else results), why

    def _memory(self, batch: Batch) -> tuple[Processor, ...]:
        # A node whose gates an interrupt left out is looked at again by --resume.
        return () if self.entry is None or batch.rollout.health else (_Memory(self.entry),)

    def _count(self, names: Sequence[str]) -> dict[str, int | None]:
        found = self._run(names, gates.CountCalls(), ())
        return {name: result.report.get("calls") for name, result in found.items()}

    def _check(self, batch: Batch, results: Results, calls: Mapping[str, int | None]) -> Results:
        names = [name for name, result in results.items() if result.status not in _BAD]
        health = batch.rollout.health
        looking = gates.Health(health, self.apply.desired, calls)
        found = self._run(names, looking, (_Gates(self.stream),), options=gates.patient(self.options, health))
        return {name: result for name, result in found.items() if result.error is not None}

    def _go_back(self, number: int, results: Results, failed: Results, why: str) -> Results:
        """Put back what the batch changed; nodes that were not changed keep their result or their failure."""
        changed = {name: result for name, result in results.items() if _was_changed(result)}
        self.stream.handle(GoingBack(number, tuple(changed), why))
        reasons = {
            name: _said(failed[name]) if name in failed else f"its batch stopped: {why}" for name in changed
        }
        identities = {name: str(result.report["id"]) for name, result in changed.items()}
        undone = self._run(tuple(changed), GoBack(identities, reasons), ())
        for name, result in undone.items():
            back = result.status is Status.ROLLED_BACK
            self.stream.handle(RolledBack(name, ok=back, why=result.error.message if result.error else why))
        kept = {
            name: replace(result, status=Status.FAILED, error=failed[name].error)
            if name in failed
            else result
            for name, result in results.items()
        }
        for name, result in undone.items():
            kept[name] = replace(kept[name], status=result.status, error=result.error)
        return kept

    def _run(
        self,
        names: Sequence[str],
        operation: Operation,
        processors: Sequence[Processor],
        *,
        options: PushOptions | None = None,
    ) -> Results:
        nodes = [self.site.nodes[name] for name in names]
        return run(nodes, operation, options=options or self.options, processors=processors)

    def _note(self, results: Results) -> None:
        if self.entry is not None:
            self.entry.note(results)


class GoBack(Struct, frozen=True):
    """Takes a node's apply back, whether or not it was confirmed."""

    identities: Mapping[str, str]
    reasons: Mapping[str, str]

    def __call__(self, host: Host) -> HostResult:
        """Raise RolledBackError with the reason once the node is back, HostError where it is not."""
        reason = self.reasons[host.name]
        try:
            session = host.connect()
            frame = operations.request(host, "rollback", id=self.identities[host.name])
            answer = session.ask(frame, expect="rolled-back")
            if answer["op"] == "failed":
                raise operations.failure(host, answer)
        except HostError as error:
            kind = UnreachableError if isinstance(error, UnreachableError) else HostError
            message = error.message.removeprefix(f"{host.name}: ")
            raise kind(
                host.name,
                f"{reason}; and it could not be put back: {message}",
                hint=f"vosctl rollback -l {host.name}",
            ) from error
        raise RolledBackError(host.name, f"{reason}; the node was put back", hint="vosctl history shows it")


class _Memory(Struct, frozen=True):
    """Remembers for the journal how nodes came out, as soon as they did."""

    entry: Entry

    def handle(self, event: Event) -> None:
        """Remember a node's status; it is written with the batch, or when the run is interrupted."""
        if isinstance(event, HostFinished):
            self.entry.run.nodes[event.node] = event.result.status.value


class _Gates(Struct, frozen=True):
    """Hands on what gates found; the nodes' own start and end were told with the apply."""

    stream: Stream

    def handle(self, event: Event) -> None:
        """Hand on a gate."""
        if isinstance(event, GateChecked):
            self.stream.handle(event)


def _too_many(batch: Batch, results: Results, *, last: bool) -> str:
    bad = [name for name, result in results.items() if result.status in _BAD]
    most = batch.rollout.max_fail_percentage
    if most is None:
        return f"all {len(bad)} nodes of the batch failed" if len(bad) == len(results) and not last else ""
    if len(bad) * 100 <= most * len(results):
        return ""
    return f"{len(bad)} of {len(results)} nodes failed ({', '.join(bad[:5])}), and at most {most}% may"


def _first(failed: Results) -> str:
    return next((str(result.error.message) for result in failed.values() if result.error is not None), "")


def _said(result: HostResult) -> str:
    return "" if result.error is None else result.error.message.removeprefix(f"{result.node}: ")


def _was_changed(result: HostResult) -> bool:
    if result.status is not Status.CHANGED or not result.report.get("id"):
        return False
    return bool(result.report.get("changed", True)) and result.report.get("deadline") != 0


def _told(results: Results, number: int) -> Results:
    return {
        name: replace(result, report={**result.report, "batch": number}) for name, result in results.items()
    }
