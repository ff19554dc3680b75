"""Many hosts at once: order, forks, processors, errors, bugs, interrupts."""

from __future__ import annotations

import threading

import pytest
from push_samples import Recorder, connection, options, site_of

from vosctl.errors import HostError, LockedError, RolledBackError, UnreachableError
from vosctl.push.result import HostResult, Status, exit_code
from vosctl.push.runner import run


def nodes(count: int):
    return list(site_of(**{f"n{i}": connection() for i in range(count)}).nodes.values())


def test_results_keep_the_order_of_nodes():
    results = run(nodes(20), lambda host: host.result(Status.OK), options=options(forks=5))
    assert list(results) == [f"n{i}" for i in range(20)]
    assert run([], lambda host: host.result(Status.OK), options=options()) == {}


def test_as_many_at_once_as_forks_say():
    barrier = threading.Barrier(4, timeout=10)
    most, now, lock = [0], [0], threading.Lock()

    def meet(host):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        barrier.wait()
        with lock:
            now[0] -= 1
        return host.result(Status.OK)

    run(nodes(8), meet, options=options(forks=4))
    assert most == [4]


def test_processors_are_called_one_at_a_time():
    inside = threading.Lock()

    class Alone(Recorder):
        def host_step(self, *call):
            assert inside.acquire(blocking=False), "two calls at once"
            super().host_step(*call)
            inside.release()

    def steps(host):
        for number in range(200):
            host.step("work", number, 200)
        return host.result(Status.OK)

    recorder = Alone()
    run(nodes(8), steps, options=options(forks=8), processors=[recorder])
    assert len(recorder.calls) == 8 * 202


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (HostError("n0", "no"), Status.FAILED, 2),
        (LockedError("n0", "no"), Status.FAILED, 2),
        (UnreachableError("n0", "no"), Status.UNREACHABLE, 4),
        (RolledBackError("n0", "no"), Status.ROLLED_BACK, 6),
    ],
)
def test_errors_become_results_and_stop_nobody_else(error, status, code):
    def work(host):
        if host.name == "n0":
            raise error
        return host.result(Status.OK)

    recorder = Recorder()
    results = run(nodes(2), work, options=options(), processors=[recorder])
    assert (results["n0"].status, results["n0"].error, results["n1"].status) == (status, error, Status.OK)
    assert exit_code(results) == code
    assert ("finished", "n0", status) in recorder.calls


def test_a_bug_is_kept_with_its_cause():
    def work(host):
        raise ZeroDivisionError(host.name)

    result = run(nodes(1), work, options=options())["n0"]
    assert result.status is Status.FAILED
    assert "internal error: ZeroDivisionError" in str(result.error)
    assert isinstance(result.error.__cause__, ZeroDivisionError)


def test_exit_codes_rank_rolled_back_over_unreachable_over_failed():
    def results(*errors):
        return {str(i): HostResult(str(i), Status.FAILED, error=error) for i, error in enumerate(errors)}

    failed, gone, back = HostError("n", ""), UnreachableError("n", ""), RolledBackError("n", "")
    assert exit_code({}) == exit_code(results(None)) == 0
    assert exit_code(results(failed, gone, back)) == 6
    assert exit_code(results(failed, gone, None)) == 4
    assert exit_code(results(failed, None)) == 2


def test_interrupt_cuts_connections_and_goes_up():
    waiting = threading.Event()

    class Interrupt(Recorder):
        def host_finished(self, result):
            if result.node == "n0":
                raise KeyboardInterrupt

    def work(host):
        if host.name == "n0":
            assert waiting.wait(10)
            return host.result(Status.OK)
        waiting.set()
        host.sleep(60)
        raise AssertionError("was not woken")

    with pytest.raises(KeyboardInterrupt):
        run(nodes(2), work, options=options(forks=2), processors=[Interrupt()])
