"""Shared answers: few computations for many questions, none older than its question."""

from __future__ import annotations

import asyncio

import pytest

from projctl_agent.turns import Kept, Turns


def test_many_askers_share_two_computations_and_get_fresh_answers() -> None:
    begun = 0

    async def compute() -> int:
        nonlocal begun
        begun += 1
        number = begun
        await asyncio.sleep(0.1)
        return number

    async def work() -> list[int]:
        turns: Turns[int] = Turns()
        first = asyncio.create_task(turns.ask("a", compute))
        await asyncio.sleep(0.05)
        later = [asyncio.create_task(turns.ask("a", compute)) for _ in range(50)]
        return [await first, *await asyncio.gather(*later)]

    assert asyncio.run(work()) == [1] + [2] * 50
    assert begun == 2


def test_one_computation_at_a_time_whatever_is_asked() -> None:
    running = most = 0

    async def compute() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    async def work() -> None:
        turns: Turns[None] = Turns()
        await asyncio.gather(*(turns.ask(kind, compute) for kind in "abcabc"))

    asyncio.run(work())
    assert most == 1


def test_a_failure_is_everybodys_and_the_next_turn_is_a_new_one() -> None:
    asked = 0

    async def compute() -> str:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise OSError("unreadable")
        return "well"

    async def work() -> str:
        turns: Turns[str] = Turns()
        failed = await asyncio.gather(*(turns.ask("a", compute) for _ in range(3)), return_exceptions=True)
        assert [str(error) for error in failed] == ["unreadable"] * 3
        return await turns.ask("a", compute)

    assert asyncio.run(work()) == "well"


def test_an_asker_that_leaves_takes_nothing_from_others() -> None:
    async def compute() -> str:
        await asyncio.sleep(0.05)
        return "well"

    async def work() -> str:
        turns: Turns[str] = Turns()
        leaver = asyncio.create_task(turns.ask("a", compute))
        stayer = asyncio.create_task(turns.ask("a", compute))
        await asyncio.sleep(0.01)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        return await stayer

    assert asyncio.run(work()) == "well"


def test_an_answer_is_kept_until_it_is_forgotten_or_old() -> None:
    made: list[int] = []

    async def compute() -> int:
        made.append(len(made))
        await asyncio.sleep(0)
        return made[-1]

    async def work() -> list[int]:
        kept = Kept(compute)
        found = [await kept.ask() for _ in range(100)]
        kept.forget()
        found += [await kept.ask() for _ in range(100)]
        waiting = asyncio.create_task(kept.ask())
        await waiting
        kept.forget()
        late = asyncio.create_task(kept.ask())
        while len(made) < 3:
            await asyncio.sleep(0)
        kept.forget()  # while it is being made: it is given, but not kept
        found += [await late, await kept.ask()]
        return found

    assert asyncio.run(work()) == [0] * 100 + [1] * 100 + [2, 3]
