"""However many wait for one thing, one look is made."""

from __future__ import annotations

import asyncio
import traceback
from contextlib import aclosing

import pytest

from airflow_mlops_provider.triggers.shared import found_by


class World:
    """Something that changes, and how often it was looked at."""

    def __init__(self, state=0):
        self.state, self.looks = state, 0

    async def look(self):
        self.looks += 1
        if isinstance(self.state, Exception):
            raise self.state
        return self.state


async def until(states, wanted):
    async with aclosing(states) as found:
        async for state in found:
            if state == wanted:
                return state
    raise AssertionError("nobody looks any more")


def run(scenario):
    async def limited():
        async with asyncio.timeout(30):
            return await scenario()

    return asyncio.run(limited())


def test_a_hundred_waiters_share_one_look():
    world = World()

    async def scenario():
        waiting = [asyncio.create_task(until(found_by("k", world.look, 0.05), 1)) for _ in range(100)]
        await asyncio.sleep(0.5)
        before, world.state = world.looks, 1
        return before, await asyncio.gather(*waiting)

    looks, found = run(scenario)
    assert found == [1] * 100
    assert looks <= 15


def test_other_things_are_looked_at_apart():
    worlds = {"a": World(1), "b": World(2)}

    async def scenario():
        return await asyncio.gather(*(until(found_by(k, w.look, 0.05), w.state) for k, w in worlds.items()))

    assert run(scenario) == [1, 2]


def test_a_newcomer_hears_what_is_known_at_once_and_may_hasten_the_next_look():
    world = World("old")

    async def scenario():
        slow = found_by("k", world.look, 3600)
        await anext(slow)
        hasty = found_by("k", world.look, 0.05)
        known = await anext(hasty)
        world.state = "new"
        both = await asyncio.gather(anext(slow), anext(hasty))
        await slow.aclose()
        await hasty.aclose()
        return known, both

    assert run(scenario) == ("old", ["new", "new"])


def test_a_state_that_stays_is_told_once():
    world = World(None)

    async def scenario():
        states = found_by("k", world.look, 0.02)
        assert await anext(states) is None
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(states), 0.3)

    run(scenario)
    assert world.looks > 3


def test_what_goes_wrong_is_everybodys_and_the_next_who_asks_looks_again():
    world = World(OSError("the store is away"))

    async def scenario():
        waiting = [asyncio.create_task(until(found_by("k", world.look, 0.05), 1)) for _ in range(3)]
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        world.state = 1
        return ended, await until(found_by("k", world.look, 0.05), 1)

    ended, found = run(scenario)
    assert [str(error) for error in ended] == ["the store is away"] * 3
    assert found == 1


def test_an_error_says_to_each_only_where_it_came_from():
    world = World(OSError("the store is away"))

    async def scenario():
        waiting = [asyncio.create_task(until(found_by("k", world.look, 0.05), 1)) for _ in range(50)]
        return await asyncio.gather(*waiting, return_exceptions=True)

    lengths = [len(traceback.extract_tb(error.__traceback__)) for error in run(scenario)]
    assert max(lengths) < 10


def test_nobody_waiting_nothing_is_looked_at():
    world = World()

    async def scenario():
        await anext(states := found_by("k", world.look, 0.02))
        waiting = asyncio.create_task(until(found_by("k", world.look, 0.02), 1))
        await asyncio.sleep(0.1)
        waiting.cancel()
        await states.aclose()
        await asyncio.sleep(0.05)
        before = world.looks
        await asyncio.sleep(0.2)
        return world.looks - before

    assert run(scenario) == 0
