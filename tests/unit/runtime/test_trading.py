"""The engine as a service among the others: what a day, a fault and a stop leave of it."""

from collections.abc import Iterator

import pytest
from typing_extensions import override

from holdfast.domain.command import AnyCommand, CancelOrder, PlaceOrder
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import (
    AnyEvent,
    LinkChanged,
    OrderAcknowledged,
    ProjectionDiffers,
    Restarted,
    ServiceChanged,
    ServiceState,
    StopAsked,
)
from holdfast.domain.market import Tick
from holdfast.domain.order import BrokerOrderId, Purpose
from holdfast.runtime.supervisor import StartFailed
from tests.support.chain import Chain, Filling, beginning, entering, lived, quiet, until
from tests.support.desk import OPEN, SECOND
from tests.support.shell import ToldVenue
from tests.support.virtual import virtually


async def to_the_end(chain: Chain) -> None:
    """Until the day is over."""
    await until(lambda: chain.overs > 0)


def a_trade(chain: Chain) -> list[Tick]:
    """A minute at whose end the call is bought, and three quiet seconds."""
    return [*entering(chain.parrot), *quiet(60.3, 63)]


@pytest.mark.parametrize("speed", [0, 1, 100])
def test_a_day_of_services_trades_and_ends_by_itself(speed: int) -> None:
    """As fast as it is taken, in its own time, and faster: every tick, one position, one end."""
    chain = lived(a_trade, to_the_end, speed=speed)
    assert len(chain.journaled(Tick)) == 65
    assert chain.day.standing.open_positions == 1
    assert (chain.day.is_over, chain.overs, chain.day.standing.merged_ticks) == (True, 1, 0)
    assert not chain.refused
    assert {one.state for one in chain.supervisor.status()} == {ServiceState.STOPPED}


def test_paced_or_not_the_engine_decides_the_same() -> None:
    """The wall's time is nowhere in its events: two speeds, one journal of the market and orders."""

    def decided(chain: Chain) -> list[object]:
        return [row for row in chain.journal.rows if not isinstance(row, ServiceChanged)]

    fast, paced = lived(a_trade, to_the_end, speed=0), lived(a_trade, to_the_end, speed=1)
    orders = [c for c in fast.venue.asked() if isinstance(c, PlaceOrder)]
    assert [one.purpose for one in orders[:2]] == [Purpose.ENTRY, Purpose.STOP]
    assert orders == [c for c in paced.venue.asked() if isinstance(c, PlaceOrder)]
    assert fast.journaled(Tick) == paced.journaled(Tick)
    assert lived(a_trade, to_the_end, speed=1).journal.rows == paced.journal.rows
    assert len(decided(fast)) > 100


@pytest.mark.proves("SUP-4", "RACE-4")
def test_no_tick_reaches_the_engine_before_everything_is_ready() -> None:
    """The first packet makes the feed ready; it is handed over when the router is."""
    chain = lived(a_trade, to_the_end)
    events = chain.journal.events
    router = next(
        event
        for event in events
        if isinstance(event, ServiceChanged)
        and (event.service, event.state) == ("router", ServiceState.READY)
    )
    ticks = chain.journaled(Tick)
    assert events.index(router) < events.index(ticks[0])
    assert len(ticks) == 65, "and none that came before is lost"


@pytest.mark.proves("RACE-12", "SUP-10")
def test_a_stop_in_mid_session_takes_back_what_waits_and_hears_every_last_word() -> None:
    """Entries are cancelled, the stop rests on, and the ends of services are in the journal."""

    class Resting(ToldVenue):
        """Acknowledges, and fills nothing."""

        @override
        def submit(self, command: AnyCommand, at_ns: int) -> None:
            super().submit(command, at_ns)
            if isinstance(command, PlaceOrder):
                broker_id = BrokerOrderId("B1")
                self.say(
                    OrderAcknowledged(
                        at_ns=at_ns + 1, order_id=command.order_id, broker_id=broker_id
                    )
                )

    async def story(chain: Chain) -> None:
        await chain.until_market(61)

    def market(chain: Chain) -> list[Tick]:
        return [*entering(chain.parrot), *quiet(60.3, 90)]

    chain = lived(market, story, venue=Resting())
    assert not chain.day.is_over
    assert chain.overs == 0
    assert len(chain.journaled(StopAsked)) == 1
    assert [c for c in chain.venue.asked() if isinstance(c, CancelOrder)]
    events = chain.journal.events
    pause = events.index(chain.journaled(StopAsked)[0])
    ends = [e for e in events[pause:] if isinstance(e, ServiceChanged)]
    stopped = [e.service for e in ends if e.state is ServiceState.STOPPED]
    assert sorted(stopped) == sorted(one.name for one in chain.supervisor.status())
    assert stopped.index("router") < stopped.index("engine") < stopped.index("feed")
    downs = [e for e in events[pause:] if isinstance(e, LinkChanged) and not e.is_up]
    assert len(downs) == 3, "that the lines are down is known to the next start too"


@pytest.mark.proves("SUP-14", "I-14")
def test_an_engine_that_breaks_is_begun_once_and_goes_on() -> None:
    """Its later life is not another start of the day: what it holds is what it goes on with."""

    class Breaking(Filling):
        """Breaks at one packet, once."""

        @override
        def on_tick(self, tick: Tick) -> None:
            if tick.at_ns == OPEN + 62 * SECOND:
                raise ZeroDivisionError("a bug")

    states: list[tuple[str, str, int]] = []

    async def story(chain: Chain) -> None:
        await to_the_end(chain)
        states.append(chain.state("engine"))

    chain = lived(a_trade, story, venue=Breaking())
    assert states == [("ready", "", 2)]
    assert len(chain.journaled(Restarted)) == 1
    assert len(chain.journaled(Tick)) == 65 - 2, "the two packets that broke it are not tried again"
    assert chain.day.standing.open_positions == 1
    told = [e for e in chain.journal.events if isinstance(e, ServiceChanged)]
    states_of = [e.state for e in told if e.service == "engine"]
    assert states_of.count(ServiceState.RESTARTING) == 2


@pytest.mark.proves("SUP-7")
def test_a_beginning_that_is_refused_ends_the_start_with_its_own_error() -> None:
    """However often it is tried: no later life trades on half of it."""
    read: list[int] = []

    def refuses() -> Iterator[AnyEvent]:
        read.append(1)
        yield next(beginning())
        raise DataRefused("tape", "its history is torn", "copy it again")

    async def play() -> Chain:
        chain = Chain(a_trade, begins=refuses)
        with pytest.raises(ExceptionGroup) as failed:
            await chain.live(to_the_end)
        [error] = failed.value.exceptions
        assert isinstance(error, StartFailed)
        assert isinstance(error.cause, DataRefused)
        return chain

    chain = virtually(play())
    assert len(read) == 3
    assert not chain.day.has_begun
    assert chain.journal.rows == []


def test_projections_that_differ_alarm_and_trading_goes_on() -> None:
    """The comparison tells the engine, the engine tells people, and what is held is still watched."""

    async def story(chain: Chain) -> None:
        await chain.until_market(61)
        chain.differences = ["positions at 57: 1 on the table, 0 in the engine"]
        await to_the_end(chain)

    def market(chain: Chain) -> list[Tick]:
        return [*entering(chain.parrot), *quiet(60.3, 95, every_s=0.5)]

    chain = lived(market, story)
    [told] = chain.journaled(ProjectionDiffers)
    assert told == ProjectionDiffers(
        at_ns=told.at_ns, differences=("positions at 57: 1 on the table, 0 in the engine",)
    )
    assert 61 * SECOND <= told.at_ns - OPEN <= 90 * SECOND
    assert [one.text for one in chain.told if "projections differ" in one.text]
    assert chain.journaled(Tick)[-1].at_ns > OPEN + 94 * SECOND
    assert chain.day.standing.open_positions == 1
