"""What `status` says of a program that runs, for people."""

from holdfast.app.cli.showing import Program, _services
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
