"""Reads, the feed, the account and the connections through the broker's ports.

Each test is played on the exchange in our process and on the adapter over the wire to another one.
"""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from holdfast.brokers.dhan.feed import DhanFeed
from holdfast.domain.command import ReadFunds, ReadQuotes, Subscribe
from holdfast.domain.event import FundsRead, QuotesRead
from holdfast.domain.instrument import Instrument, Kind
from holdfast.domain.market import Tick
from holdfast.domain.order import BrokerStatus
from tests.contract.acts import (
    book,
    eager,
    filled,
    first,
    patient,
    pause,
    place,
    told,
    working,
)
from tests.contract.conftest import Perform
from tests.support.venues import Stage
from tests.support.wired import CLIENT, content, strange

pytestmark = pytest.mark.timeout(150)


def test_the_book_is_the_exchanges(perform: Perform) -> None:
    """Net positions, our orders, those of others, trades and cash, in one pass."""

    async def scenario(stage: Stage) -> None:
        contract, other = stage.options()[:2]
        bought = place(stage, await eager(stage, contract, lots=2))
        await filled(stage, bought)
        resting = place(stage, await patient(stage, contract))
        await working(stage, resting)
        before = await stage.net(other)
        await stage.owner_buys(other, other.lot_size)
        read = await book(stage)
        while other.id not in {one.instrument for one in read.nets if one.net}:
            await pause(stage)
            read = await book(stage)  # it is read part by part, positions first (T22)
        assert [one.filled_quantity for one in read.foreign if one.key.instrument == other.id]
        nets = {one.instrument: one.net for one in read.nets}
        assert nets[contract.id] == await stage.net(contract) == 2 * contract.lot_size
        assert nets[other.id] == await stage.net(other) == before + other.lot_size
        rows = {one.order_id: one for one in read.orders}
        assert rows[bought].status is BrokerStatus.FILLED
        assert rows[resting].status is BrokerStatus.WORKING
        for name in (bought, resting):
            (true,) = await stage.truth(name)
            shown = rows[name]
            assert (shown.broker_id, shown.filled_quantity) == (true.number, true.filled)
            assert shown.filled_value_paise == true.value_paise
            parts = [one for one in read.trades if one.broker_id == true.number]
            assert sum(one.quantity for one in parts) == true.filled
            assert sum(one.value_paise for one in parts) == true.value_paise
        assert read.funds_paise == await stage.funds_paise()
        told(nets=len(read.nets), orders=len(read.orders), foreign=len(read.foreign))

    perform(scenario)


def test_free_cash_is_the_exchanges(perform: Perform) -> None:
    """To the paisa, after a purchase."""

    async def scenario(stage: Stage) -> None:
        await filled(stage, place(stage, await eager(stage, stage.options()[0])))
        true = await stage.funds_paise()
        stage.ask(ReadFunds())
        read = await stage.until(first(stage, FundsRead, lambda _one: True), "funds")
        assert read.available_paise == true
        told(funds_paise=true)

    perform(scenario)


def test_quotes_are_what_the_exchange_told(perform: Perform) -> None:
    """Each one is a state in which the contract stood: price, time, volume, interest, depth."""

    async def scenario(stage: Stage) -> None:
        contracts = stage.options()[:6]
        stage.ask(ReadQuotes(instruments=tuple(one.id for one in contracts)))
        read = await stage.until(first(stage, QuotesRead, lambda _one: True), "quotes")
        assert {one.instrument for one in read.quotes} == {one.id for one in contracts}
        for quote in read.quotes:
            states = {content(one) for one in await stage.shown(quote.instrument)}
            assert content(quote) in states, quote
        told(quotes=len(read.quotes))

    perform(scenario)


async def heard(stage: Stage, wanted: Sequence[Instrument], least: int) -> list[Tick]:
    """So many ticks of the feed, at least one of each."""
    ticks: list[Tick] = []
    meant = {one.id for one in wanted}
    missing = set(meant)
    while missing or len(ticks) < least:
        batch = await stage.feed.packets()
        assert batch, "the feed ended"
        ticks += [one for one in batch if one.instrument in meant]
        missing -= {one.instrument for one in batch}
    return ticks


async def brought(stage: Stage, wanted: Sequence[Instrument], least: int) -> list[Tick]:
    """The same, from a feed that has to be kept where it keeps itself."""
    await stage.feed.connect()
    stage.ask(Subscribe(instruments=tuple(one.id for one in wanted)))
    if not isinstance(stage.feed, DhanFeed):
        return await heard(stage, wanted, least)
    async with asyncio.TaskGroup() as group:
        kept = group.create_task(stage.feed.keep(lambda _is_up, _why: None, lambda _event: None))
        async with asyncio.timeout(45):
            ticks = await heard(stage, wanted, least)
        kept.cancel()
    return ticks


def test_the_feed_brings_what_the_exchange_told(perform: Perform) -> None:
    """Every tick is one of the exchange's, in its order; none is made up, and none goes back."""

    async def scenario(stage: Stage) -> None:
        wanted = [*stage.options()[:8], *(o for o in stage.instruments if o.kind is Kind.INDEX)]
        ticks = await brought(stage, wanted, least=400)
        await stage.feed.close()
        shown = [tick for one in wanted for tick in await stage.shown(one.id)]
        checked, made_up = strange(ticks, shown)
        assert not made_up, made_up[:2]
        assert checked >= 400
        told(ticks=checked, instruments=len(wanted))

    perform(scenario)


def test_the_account_is_the_one_that_was_asked_for(perform: Perform) -> None:
    """A session that lasts, whose it is, and the contracts that the exchange trades."""

    async def scenario(stage: Stage) -> None:
        token = await stage.account.login()
        assert token.valid_until_ns > stage.now_ns()
        assert (await stage.account.profile()).client_id == CLIENT
        listed = {one.id: one for one in await stage.account.instruments()}
        for contract in stage.instruments:
            named = replace(listed[contract.id], symbol=contract.symbol)  # the broker's own words
            assert named == contract
        told(instruments=len(listed))

    perform(scenario)


def test_a_connection_says_when_it_is_gone(perform: Perform) -> None:
    """Up it answers a ping, closed it raises; closing twice does nothing; it can be made anew."""

    async def scenario(stage: Stage) -> None:
        for line in (stage.updates, stage.orders):
            await line.connect()
            await line.ping()
            await line.close()
            await line.close()
        with pytest.raises(OSError, match=r"gone|down"):
            await stage.updates.ping()
        for line in (stage.updates, stage.orders):
            await line.connect()
            await line.ping()
        told(made=4)

    perform(scenario)
