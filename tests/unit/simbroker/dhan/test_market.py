"""The market side of the server in one piece."""

import asyncio

from holdfast.simbroker.dhan.doubts import Doubts, Frames
from tests.support.desk import OPEN
from tests.unit.simbroker.dhan.market_day import CALL, INDEX, Day, candles, index_tick, option_tick


def test_every_request_of_the_market_is_offered_once() -> None:
    """On the REST host and on that of the files."""
    side = Day().side
    paths = [(one.method, one.path) for one in side.routes("http://files")]
    assert paths == [
        ("POST", "/v2/marketfeed/ltp"),
        ("POST", "/v2/marketfeed/ohlc"),
        ("POST", "/v2/marketfeed/quote"),
        ("POST", "/v2/optionchain"),
        ("POST", "/v2/optionchain/expirylist"),
        ("POST", "/v2/charts/intraday"),
        ("POST", "/v2/charts/historical"),
        ("POST", "/v2/charts/rollingoption"),
        ("GET", "/v2/instrument/{segment}"),
    ]
    assert [one.path for one in side.files()] == [
        "/api-data/api-scrip-master.csv",
        "/api-data/api-scrip-master-detailed.csv",
        "/api-data/instrument/{segment}.csv",
    ]


def test_the_board_knows_the_history_and_each_tick() -> None:
    """It is told before the feed is."""
    day = Day([index_tick(OPEN, 24_500_00), option_tick(OPEN, 118_50)], candles(2))
    day.go(OPEN)
    assert day.board.snapshot(INDEX.id).close_paise == 24_405_05
    assert day.board.snapshot(CALL.id).last_paise == 118_50


def test_it_watches_until_it_is_cancelled() -> None:
    """Both streams; nothing is left behind."""

    async def watched() -> None:
        day = Day(doubts=Doubts(frames=Frames.SINGLE))
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(day.side.run())
            await asyncio.sleep(0)
            assert not watching.done()
            watching.cancel()
        assert watching.cancelled()

    asyncio.run(watched())
