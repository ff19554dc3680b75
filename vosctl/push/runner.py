"""Runs one operation on many nodes, each in a thread, and collects what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from vosctl.errors import HostError, UnreachableError, VosctlError
from vosctl.push.agent import bundle
from vosctl.push.connect import Connector
from vosctl.push.event import Event, HostFinished, HostStarted, RolledBack
from vosctl.push.host import Host
from vosctl.push.options import PushOptions
from vosctl.push.processor import Processor, Stream
from vosctl.push.result import HostResult, Status
from vosctl.site.model import Node


class Operation(Protocol):
    """Work on one node; raises VosctlError where it fails."""

    def __call__(self, host: Host) -> HostResult:
        """Do it."""


def run(
    nodes: Sequence[Node],
    operation: Operation,
    *,
    options: PushOptions,
    processors: Sequence[Processor] = (),
) -> dict[str, HostResult]:
    """Run ``operation`` on all nodes, ``options.forks`` at once, and return results in their order.

    An error of one node, even a bug, ends up in its result and never stops another node. An
    interrupt (KeyboardInterrupt) closes every connection, waits for the threads and goes on up.
    """
    bundle.digest()  # packed here once: threads that ask at the same time would each pack the agent
    connector = Connector(options)
    stream = Stream(processors)
    hosts = [Host(node, options, connector, stream.handle) for node in nodes]
    with ThreadPoolExecutor(max_workers=max(1, min(options.forks, len(hosts)))) as pool:
        futures = [pool.submit(_one, host, operation, stream.handle) for host in hosts]
        try:
            return {host.name: future.result() for host, future in zip(hosts, futures, strict=True)}
        except BaseException:
            _stop(hosts, futures)
            raise


def _stop(hosts: Sequence[Host], futures: Sequence[Future[HostResult]]) -> None:
    for future in futures:
        future.cancel()
    for host in hosts:
        host.abandon()


def _one(host: Host, operation: Operation, emit: Callable[[Event], None]) -> HostResult:
    emit(HostStarted(host.name))
    try:
        result = operation(host)
    except VosctlError as error:
        result = host.result(_status(error), error=error)
    except Exception as error:  # noqa: BLE001  one node's bug must not lose what the others did
        result = host.result(Status.FAILED, error=_bug(host.name, error))
    finally:
        host.close()
    if result.status is Status.ROLLED_BACK:
        emit(RolledBack(host.name, ok=True, why=result.error.message if result.error else "asked for"))
    emit(HostFinished(result))
    return result


def _status(error: VosctlError) -> Status:
    if isinstance(error, UnreachableError):
        return Status.UNREACHABLE
    return Status.ROLLED_BACK if error.exit_code == ROLLED_BACK else Status.FAILED


ROLLED_BACK = 6


def _bug(node: str, error: Exception) -> HostError:
    told = HostError(
        node,
        f"internal error: {type(error).__name__}",
        hint="this is a bug; -vvv shows where, please report it",
    )
    told.__cause__ = error
    return told
