"""The two lanes into the engine: nothing of the account's is lost, merged ticks keep extremes."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from holdfast.domain.event import AnyEvent, FundsRead
from holdfast.domain.market import Tick
from holdfast.runtime.inbox import Inbox, merge
from tests.support.desk import CALL, PUT
from tests.support.shell import tick
from tests.support.virtual import virtually


def run(story: Coroutine[Any, Any, None]) -> None:
    """Tell a story on an event loop; one that waits for ever fails."""

    async def bounded() -> None:
        async with asyncio.timeout(5):
            await story

    asyncio.run(bounded())


def funds(paise: int) -> FundsRead:
    """Something of the account's."""
    return FundsRead(at_ns=0, available_paise=paise)


def drained(inbox: Inbox) -> list[AnyEvent]:
    """Everything that waits, in order."""
    taken = []
    while (event := inbox.take_nowait()) is not None:
        taken.append(event)
    return taken


def test_the_account_lane_is_taken_first_and_both_are_in_order() -> None:
    """An order's fill does not wait behind a thousand prices."""

    async def story() -> None:
        inbox = Inbox()
        inbox.offer(tick(1))
        inbox.put(funds(1))
        inbox.offer(tick(2, instrument=PUT.id))
        inbox.put(funds(2))
        assert inbox.depth == (2, 2)
        assert drained(inbox) == [funds(1), funds(2), tick(1), tick(2, instrument=PUT.id)]
        assert (inbox.depth, inbox.take_nowait()) == ((0, 0), None)

    run(story())


def test_ticks_are_merged_only_when_the_engine_lags() -> None:
    """Below the mark each stands for itself; from it on they join the one that waits."""

    async def story() -> None:
        inbox = Inbox(merge_above=2)
        for number in range(1, 4):
            inbox.offer(tick(number, last=10_000 + number))
        inbox.offer(tick(4, last=9_000))
        assert (inbox.depth, inbox.merged) == ((0, 2), 2)
        first, second = drained(inbox)
        assert first == tick(1, last=10_001)
        assert isinstance(second, Tick)
        assert (second.count, second.last_low_paise, second.last_high_paise) == (3, 9_000, 10_003)
        assert second.at_ns == tick(4).at_ns
        inbox.offer(tick(5))
        assert drained(inbox) == [tick(5)]

    run(story())


def test_each_instrument_merges_with_itself() -> None:
    """A first tick of a contract never vanishes into another's."""

    async def story() -> None:
        inbox = Inbox(merge_above=1)
        inbox.offer(tick(1))
        inbox.offer(tick(2, instrument=PUT.id))
        inbox.offer(tick(3, instrument=PUT.id))
        taken = drained(inbox)
        assert [(t.instrument, t.count) for t in taken if isinstance(t, Tick)] == [
            (CALL.id, 1),
            (PUT.id, 2),
        ]

    run(story())


def test_a_tick_that_was_taken_is_not_merged_into() -> None:
    """What the engine has seen is over; the next one waits for itself."""

    async def story() -> None:
        inbox = Inbox(merge_above=1)
        inbox.offer(tick(1))
        inbox.offer(tick(1, instrument=PUT.id))
        assert inbox.take_nowait() == tick(1)
        inbox.offer(tick(2))
        assert drained(inbox) == [tick(1, instrument=PUT.id), tick(2)]

    run(story())


def test_the_newest_waiting_tick_is_the_one_that_grows() -> None:
    """Taking an older one of the same contract does not forget the newer."""

    async def story() -> None:
        inbox = Inbox(merge_above=2)
        for number in range(1, 3):
            inbox.offer(tick(number))
        assert inbox.take_nowait() == tick(1)
        inbox.offer(tick(3, instrument=PUT.id))
        inbox.offer(tick(4))
        assert [t.count for t in drained(inbox) if isinstance(t, Tick)] == [2, 1]

    run(story())


def test_a_source_that_can_wait_waits_for_room_and_loses_nothing() -> None:
    """Batches come in as the engine takes; nothing is merged, the order is kept."""

    async def story() -> None:
        inbox = Inbox(market_room=4)
        ticks = [tick(number) for number in range(20)]

        async def feed() -> None:
            for start in range(0, 20, 3):
                await inbox.put_market(ticks[start : start + 3])
            inbox.end_market()

        taken: list[AnyEvent] = []
        deepest = 0
        async with asyncio.TaskGroup() as group:
            group.create_task(feed())
            while not inbox.is_over:
                await inbox.wait_event()
                deepest = max(deepest, inbox.depth[1])
                event = inbox.take_nowait()
                if event is not None:
                    taken.append(event)
        assert taken == ticks
        assert deepest <= 4 + 2
        assert inbox.merged == 0

    run(story())


def test_the_smallest_room_still_lets_every_tick_through() -> None:
    """A lane of one: each waits for the one before it."""

    async def story() -> None:
        inbox = Inbox(market_room=1)
        taken: list[AnyEvent] = []

        async def feed() -> None:
            for number in range(5):
                await inbox.put_market([tick(number)])
            inbox.end_market()

        async with asyncio.TaskGroup() as group:
            group.create_task(feed())
            while not inbox.is_over:
                await inbox.wait_event()
                taken += drained(inbox)
        assert len(taken) == 5

    run(story())


def test_the_end_of_the_market_wakes_whoever_waits() -> None:
    """For an event, or for room; what is still in the lanes is taken before it is over."""

    async def story() -> None:
        inbox = Inbox(market_room=1)
        await inbox.put_market([tick(1)])
        async with asyncio.TaskGroup() as group:
            group.create_task(inbox.put_market([tick(2)]))
            await asyncio.sleep(0)
            inbox.end_market()
        over = [inbox.is_over]
        assert drained(inbox) == [tick(1), tick(2)]
        over.append(inbox.is_over)
        await inbox.wait_event()
        inbox.put(funds(1))
        over.append(inbox.is_over)
        assert over == [False, True, False], "the account's words are heard to the last"

    run(story())


def test_waiting_ends_with_an_event_of_either_lane() -> None:
    """It sleeps while there is nothing, and only then."""

    async def story() -> None:
        inbox = Inbox()
        for number in range(2):
            waiting = asyncio.ensure_future(inbox.wait_event())
            await asyncio.sleep(0)
            assert not waiting.done()
            if number:
                inbox.put(funds(1))
            else:
                inbox.offer(tick(1))
            await waiting
            await inbox.wait_event()
            drained(inbox)

    run(story())


def test_a_closed_inbox_is_left_with_what_waits_in_it() -> None:
    """The stop takes no more of the market; the account's words are taken one by one to the last."""

    async def story() -> None:
        inbox = Inbox(market_room=1)
        await inbox.put_market([tick(1)])
        async with asyncio.TaskGroup() as group:
            group.create_task(inbox.put_market([tick(2)]))
            await asyncio.sleep(0)
            inbox.put(funds(1))
            over = [inbox.is_over]
            inbox.close()
        over.append(inbox.is_over)
        await inbox.wait_event()
        inbox.put(funds(2))
        over.append(inbox.is_over)
        assert over == [False, True, True], "the market is left, whatever waits"
        taken = [inbox.take_account_nowait() for _ in range(3)]
        assert taken == [funds(1), funds(2), None]
        assert inbox.depth == (0, 2)

    run(story())


def test_waiting_is_bounded_for_whoever_must_say_that_it_lives() -> None:
    """Nothing came: it returns all the same, and an event then is taken as ever."""

    async def story() -> None:
        inbox = Inbox()
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await inbox.wait_event(1.0)
        assert loop.time() - began_s == 1.0
        assert inbox.take_nowait() is None
        inbox.put(funds(1))
        await inbox.wait_event(1.0)
        assert loop.time() - began_s == 1.0
        assert drained(inbox) == [funds(1)]

    virtually(story())


prices = st.integers(1, 50_000)
packets = st.builds(
    lambda last, bid, ask, volume: replace(
        tick(0, last=last),
        volume=volume,
        bids=() if bid is None else ((bid, 65),),
        asks=() if ask is None else ((ask, 65),),
    ),
    prices,
    st.none() | prices,
    st.none() | prices,
    st.integers(0, 10_000),
)


@given(batch=st.lists(packets, min_size=2, max_size=12), split=st.integers(1, 11))
def test_a_merged_tick_is_the_last_one_with_the_extremes_of_all(
    batch: list[Tick], split: int
) -> None:
    """However they were grouped: last trade, bid and ask, lowest and highest, and the count (4.4)."""
    split = min(split, len(batch) - 1)
    merged = merge(_merged(batch[:split]), _merged(batch[split:]))
    assert merged.count == len(batch)
    assert (merged.last_paise, merged.bids, merged.asks, merged.volume) == (
        batch[-1].last_paise,
        batch[-1].bids,
        batch[-1].asks,
        batch[-1].volume,
    )
    lasts = [t.last_paise for t in batch]
    bids = [t.bid_paise for t in batch if t.bid_paise is not None]
    asks = [t.ask_paise for t in batch if t.ask_paise is not None]
    assert (merged.last_low_paise, merged.last_high_paise) == (min(lasts), max(lasts))
    assert merged.bid_low_paise == min(bids, default=None)
    assert merged.bid_high_paise == max(bids, default=None)
    assert merged.ask_low_paise == min(asks, default=None)
    assert merged.ask_high_paise == max(asks, default=None)


def _merged(batch: list[Tick]) -> Tick:
    first, *rest = batch
    for later in rest:
        first = merge(first, later)
    return first


def test_whoever_waits_is_woken_by_a_word_or_a_poke() -> None:
    """By what was there before it waited neither: that was there to be taken."""

    async def story() -> None:
        inbox = Inbox()
        loop = asyncio.get_running_loop()
        inbox.offer(tick(1))
        took = []
        for wake in (inbox.poke, lambda: inbox.put(funds(1)), lambda: None):
            began_s = loop.time()
            loop.call_later(2.0, wake)
            await inbox.wait_poke(5.0)
            took.append(loop.time() - began_s)
        assert took == [2.0, 2.0, 5.0]
        drained(inbox)
        loop.call_later(2.0, inbox.poke)
        await inbox.wait_event(5.0)
        assert loop.time() == 11.0

    virtually(story())


def test_a_market_that_stands_still_goes_on_in_the_end() -> None:
    """After what it waited for, also when that failed, and when nobody takes any more."""

    async def story() -> None:
        inbox = Inbox()
        await inbox.wait_moving()
        went = []

        async def bring() -> None:
            await inbox.wait_moving()
            went.append(1)

        with suppress(ZeroDivisionError), inbox.standing():
            bringing = asyncio.ensure_future(bring())
            await asyncio.sleep(1)
            assert not went
            raise ZeroDivisionError
        await bringing
        with inbox.standing():
            inbox.close()
            await bring()
        assert went == [1, 1]

    virtually(story())
