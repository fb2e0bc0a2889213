"""What `status` says of a program that runs, for people."""

import msgspec
import pytest

from holdfast.app.cli.showing import Program, _services
from holdfast.ports import FeedStatus
from holdfast.runtime.day import Standing
from holdfast.runtime.tally import RouterCounts


def test_the_way_out_for_orders_is_shown_with_its_rate_and_its_breaker() -> None:
    """What left in each window of the broker, what waits, and what went wrong."""
    router = RouterCounts(
        waiting=2,
        refused=3,
        failed=5,
        retried=4,
        outdated=1,
        slowest_ms=40,
        breaker="open",
        used=(1, 20, 300, 4_000),
    )
    told = _services(Program(services=(), shutting_down=False, standing=Standing(router=router)))
    assert (
        "  orders sent: 1 in a second, 20 in a minute, 300 in an hour, 4000 today;"
        " 2 waiting, 3 refused for the rate\n"
        "  order path: breaker open, 5 calls failed, 4 tried again, 1 outdated,"
        " slowest answer 40 ms\n"
    ) in told


@pytest.mark.proves("MFH-6")
def test_the_feed_is_shown_with_its_age_its_lag_and_its_flaws() -> None:
    """Up is not enough: how old the newest packet is, and how far behind the exchange."""
    feed = FeedStatus(
        is_up=True,
        connections=2,
        dials=3,
        wanted=120,
        age_ms=140,
        lag_ms={"NSE": 320, "BSE": 45_000},
        flaws={"impossible price": 4},
        quotes_read=7,
        penalty_until_ns=0,
    )
    program = Program(services=(), shutting_down=False, standing=Standing(), feed=feed)
    assert (
        "  feed: up, newest packet 140 ms ago, behind the exchange BSE 45000 ms, NSE 320 ms;"
        " 120 instruments over 2 connections, 3 made, 7 quotes read beside,"
        " flaws 4 impossible price\n"
    ) in _services(program)
    early = msgspec.structs.replace(feed, is_up=False, age_ms=None, lag_ms={}, flaws={})
    told = _services(msgspec.structs.replace(program, feed=early))
    assert "feed: down, nothing yet, behind the exchange -;" in told
    assert "flaws none" in told
    assert "feed:" not in _services(msgspec.structs.replace(program, feed=None))
