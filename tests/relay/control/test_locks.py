"""One command at a time for each call: in order, without a trace of those who gave up."""

from __future__ import annotations

import asyncio

import pytest

from vosctl.relay.control.locks import Locks


def test_those_who_wait_get_it_in_order_and_names_do_not_wait_for_one_another():
    async def run() -> list[str]:
        locks, order = Locks(), []

        async def work(name: str, mark: str) -> None:
            async with locks(name):
                order.append(f"{mark} in")
                await asyncio.sleep(0)
                order.append(f"{mark} out")

        await asyncio.gather(work("a", "first"), work("a", "second"), work("b", "other"), work("a", "third"))
        assert not locks._held
        return order

    order = asyncio.run(run())
    assert [word for word in order if not word.startswith("other")] == [
        "first in", "first out", "second in", "second out", "third in", "third out",
    ]  # fmt: skip
    assert order.index("other in") < order.index("first out")


def test_who_is_cancelled_while_waiting_or_just_as_it_is_his_turn_blocks_nobody():
    async def run() -> None:
        locks = Locks()
        await locks.acquire("a")
        early, late, last = (asyncio.ensure_future(locks.acquire("a")) for _ in range(3))
        await asyncio.sleep(0)
        early.cancel()
        await asyncio.sleep(0)
        locks.release("a")
        late.cancel()
        await asyncio.wait_for(last, 1)
        locks.release("a")
        assert not locks._held

    asyncio.run(run())


def test_an_error_gives_the_lock_back():
    async def run() -> None:
        locks = Locks()
        with pytest.raises(KeyError):
            async with locks("a"):
                raise KeyError
        await asyncio.wait_for(locks.acquire("a"), 1)

    asyncio.run(run())
