"""The static IP: what the broker sees against what is registered, checked again and again (T27)."""

import asyncio
import socket
import sys
from pathlib import Path

import pytest
from typing_extensions import override

from holdfast.brokers.dhan.fields import Unreadable
from holdfast.brokers.dhan.ip import (
    EVERY_S,
    Registration,
    check_ip,
    read_registration,
    registration_of,
    watch_ip,
)
from holdfast.brokers.dhan.rest import Answer, CallKind, Rest
from holdfast.domain.event import AccountChecked
from holdfast.runtime.clock import ScaledClock
from tests.support.dhan_account import NOW_NS, HandClock, answer, sample
from tests.support.dhan_wire import Cut, Heard, Said, Whose, WireServer, said
from tests.unit.simbroker.dhan.served import CLIENT, Served, in_server, order_body

GOOD = {
    "primaryIP": "192.0.2.10",
    "secondaryIP": "",
    "modifyDatePrimary": "2026-09-22",
    "modifyDateSecondary": "",
    "detectedIP": "192.0.2.10",
    "ipMatchStatus": "PRIMARY_MATCH",
    "ordersAllowed": True,
}


def checked(said_back: Said) -> AccountChecked:
    """What one check comes to."""

    async def main() -> AccountChecked:
        async with WireServer(lambda _: said_back) as server:
            rest = Rest(server.base, Whose(), ScaledClock(NOW_NS, 5))
            try:
                return await check_ip(rest, HandClock())
            finally:
                await rest.close()

    return asyncio.run(main())


def test_orders_are_taken_from_the_registered_address() -> None:
    """As the broker itself sees it."""
    assert checked(said(200, GOOD)) == AccountChecked(at_ns=NOW_NS, orders_allowed=True)


@pytest.mark.proves("T27")
@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"ordersAllowed": False, "ipMatchStatus": "NO_MATCH"}, "NO_MATCH"),
        ({"detectedIP": "198.51.100.7"}, "198.51.100.7"),
        ({"detectedIP": "2001:db8::1"}, "2001:db8::1"),
        ({"primaryIP": "", "secondaryIP": None}, "no static IP"),
        ({"ordersAllowed": None, "detectedIP": None}, "does not say"),
        ({"ordersAllowed": "perhaps"}, "neither yes nor no"),
        ({"primaryIP": []}, "primaryIP"),
    ],
)
def test_what_does_not_match_bars_orders(changed: dict[str, object], word: str) -> None:
    """Each alone, with what was seen."""
    found = checked(said(200, {**GOOD, **changed}))
    assert not found.orders_allowed
    assert word in found.reason


@pytest.mark.parametrize(
    "changed",
    [
        {"secondaryIP": "198.51.100.7", "detectedIP": "198.51.100.7"},
        {"ordersAllowed": None},
        {"ordersAllowed": "true"},
        {"detectedIP": "", "ip": "192.0.2.10"},
        {"primaryIP": "2001:db8::1", "detectedIP": "2001:0db8:0:0:0:0:0:1"},
    ],
)
def test_what_matches_otherwise_does_not(changed: dict[str, object]) -> None:
    """The second address, an address written in another way, a verdict as text or not at all."""
    assert checked(said(200, {**GOOD, **changed})).orders_allowed


@pytest.mark.proves("T27")
def test_an_error_that_comes_as_200_bars_orders(shared_data: Path) -> None:
    """The sample of the wire: no address was ever set."""
    found = checked(said(200, body=sample(shared_data, "ip_getip_error_200.json")))
    assert not found.orders_allowed
    assert "Something went wrong" in found.reason


@pytest.mark.parametrize(
    "said_back", [Cut(), said(500, {}), said(200, body=b"<html>"), said(200, [])]
)
def test_a_check_that_fails_bars_orders(said_back: Said) -> None:
    """Failed is not well (T27)."""
    assert not checked(said_back).orders_allowed


def test_orders_are_bound_to_the_family_that_is_registered() -> None:
    """A host that has both leaves by the other one else."""
    assert Registration(primary="192.0.2.10").source.family is socket.AF_INET
    assert Registration(primary="2001:db8::1").source.family is socket.AF_INET6
    assert Registration().source.family is socket.AF_UNSPEC


@pytest.mark.skipif(sys.platform != "linux", reason="no second loopback address here")
@pytest.mark.proves("T27")
def test_another_registered_address_of_this_machine_is_spare() -> None:
    """Not the one that we are seen at, and none that this machine does not have."""
    one, two = "127.0.0.1", "127.0.0.2"
    for seen, other in ((one, two), (two, one)):
        known = Registration(primary=one, secondary=two, detected=seen)
        assert known.spare == (socket.AF_INET, other)
    assert Registration(primary="127.0.0.1", detected="127.0.0.1").spare is None
    elsewhere = Registration(primary="192.0.2.10", secondary="no address", detected="192.0.2.10")
    assert elsewhere.spare is None


@pytest.mark.skipif(sys.platform != "linux", reason="no second loopback address here")
@pytest.mark.proves("T27")
def test_exits_leave_from_the_second_address_when_the_first_is_registered_no_more() -> None:
    """What the broker says of our addresses is enough to know from where."""

    async def test(served: Served) -> None:
        second = {"dhanClientId": CLIENT, "ip": "127.0.0.2", "ipFlag": "SECONDARY"}
        assert (await served.ask("POST", "/ip/setIP", second))[0] == 200
        whose = Whose(served.token)
        base, clock = served.ready.urls["rest"], HandClock()
        looking = Rest(base, whose, clock)
        found = await read_registration(looking)
        assert isinstance(found, Registration)
        assert found.spare is not None
        moved = {"dhanClientId": CLIENT, "ip": "192.0.2.10", "ipFlag": "PRIMARY"}
        assert (await served.ask("PUT", "/ip/modifyIP", moved))[0] == 200
        rest = Rest(base, whose, clock, order_sources=(found.source, found.spare))
        statuses = []
        for _ in range(2):
            reply = await rest.call("POST", "/orders", body=order_body(), kind=CallKind.PLACE)
            assert isinstance(reply, Answer)
            statuses.append(reply.status)
        await rest.close()
        await looking.close()
        assert statuses == [400, 200]

    in_server(test)


def test_an_array_of_other_things_is_unreadable() -> None:
    """It raises the one error of its kind."""
    with pytest.raises(Unreadable):
        registration_of(answer("[1, 2]"))


@pytest.mark.proves("T27")
def test_it_is_checked_at_once_in_turn_and_when_asked() -> None:
    """At the start, each five minutes, at each reconnect; sooner after a refusal."""
    answers: list[Said] = [said(200, GOOD), Cut(), said(200, GOOD)]
    told: list[AccountChecked] = []
    waits: list[float] = []

    class Timing(HandClock):
        @override
        def wall_s(self, seconds: float) -> float:
            waits.append(seconds)
            return 60.0 if seconds == EVERY_S else 0.001

    def next_answer(_: Heard) -> Said:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def main() -> None:
        asked = asyncio.Event()
        async with WireServer(next_answer) as server, asyncio.TaskGroup() as group:
            rest = Rest(server.base, Whose(), ScaledClock(NOW_NS, 5))
            task = group.create_task(watch_ip(rest, Timing(), told.append, asked=asked))
            async with asyncio.timeout(10):
                while len(told) < 3:
                    if len(told) == 1:
                        asked.set()
                    await asyncio.sleep(0.005)
            task.cancel()
            await rest.close()

    asyncio.run(main())
    assert [one.orders_allowed for one in told] == [True, False, True]
    assert waits[:2] == [300.0, 10.0]
