"""Orders through the broker's ports: taken, filled, changed, refused, lost and found again.

Each test is played on the exchange in our process and on the adapter over the wire to another one.
What is claimed is compared with what the exchange itself says.
"""

from collections.abc import Awaitable, Callable, Sequence

import pytest
from msgspec.structs import replace

from holdfast.domain.command import CancelOrder, FindOrder, ModifyOrder
from holdfast.domain.event import (
    Action,
    AnyEvent,
    OrderAcknowledged,
    OrderUpdated,
    Outcome,
    ReadFailed,
)
from holdfast.domain.instrument import Instrument
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderTerms,
    OrderType,
    Refusal,
    Side,
)
from tests.contract.acts import (
    acknowledged,
    book,
    eager,
    failed,
    filled,
    first,
    patient,
    place,
    refusal,
    row,
    terms_of,
    told,
    working,
)
from tests.contract.conftest import Perform
from tests.support.venues import Stage, Trouble

pytestmark = pytest.mark.timeout(150)

# -- fills


def test_what_crosses_is_filled_to_the_paisa(perform: Perform) -> None:
    """The broker's number, the words up to the last fill, and the exchange's value."""

    async def scenario(stage: Stage) -> None:
        contract = stage.options()[0]
        name = place(stage, await eager(stage, contract, lots=2))
        number = await acknowledged(stage, name)
        last = await filled(stage, name)
        (true,) = await stage.truth(name)
        assert (last.broker_id, number) == (true.number, true.number)
        assert (last.filled_quantity, last.filled_value_paise) == (true.filled, true.value_paise)
        assert last.terms.quantity == last.filled_quantity == 2 * contract.lot_size
        assert await stage.net(contract) == 2 * contract.lot_size
        told(filled=true.filled, value_paise=true.value_paise)

    perform(scenario)


def test_fills_come_in_parts_and_never_go_back(perform: Perform) -> None:
    """Each word is cumulative; in part is still live."""

    async def scenario(stage: Stage) -> None:
        await stage.let(Trouble.FILLS_SLICED)
        contract = stage.options()[0]
        name = place(stage, await eager(stage, contract, lots=3))
        await filled(stage, name)
        words = [
            one.row
            for one in stage.heard
            if isinstance(one, OrderUpdated) and one.row.order_id == name
        ]
        counts = [one.filled_quantity for one in words]
        parts = {one for one in counts if 0 < one < 3 * contract.lot_size}
        assert parts, counts
        assert counts == sorted(counts)
        assert all(one.status.is_live for one in words if one.filled_quantity in parts)
        (true,) = await stage.truth(name)
        assert words[-1].filled_value_paise == true.value_paise
        told(words=len(words), parts=len(parts))

    perform(scenario)


# -- changes


def test_an_order_that_rests_is_modified_and_stays_itself(perform: Perform) -> None:
    """New limit, new total quantity, same number; then to a price that crosses."""

    async def scenario(stage: Stage) -> None:
        contract = stage.options()[0]
        asked = await patient(stage, contract)
        name = place(stage, asked)
        number = (await working(stage, name)).broker_id
        wanted = replace(
            asked,
            quantity=2 * contract.lot_size,
            limit_paise=asked.limit_paise - contract.price_step_paise,
        )
        stage.ask(ModifyOrder(order_id=name, broker_id=number, terms=wanted))
        changed = await row(stage, name, lambda one: one.terms == wanted, "modified")
        assert (changed.broker_id, changed.status) == (number, BrokerStatus.WORKING)
        crossing = replace(await eager(stage, contract), quantity=2 * contract.lot_size)
        stage.ask(ModifyOrder(order_id=name, broker_id=number, terms=crossing))
        last = await filled(stage, name)
        (true,) = await stage.truth(name)
        assert (last.broker_id, last.filled_value_paise) == (number, true.value_paise)
        assert await stage.net(contract) == 2 * contract.lot_size
        told(modified=2, filled=true.filled)

    perform(scenario)


def test_an_order_that_rests_is_cancelled(perform: Perform) -> None:
    """Asked is answered, done is told by its row."""

    async def scenario(stage: Stage) -> None:
        name = place(stage, await patient(stage, stage.options()[1]))
        number = (await working(stage, name)).broker_id
        stage.ask(CancelOrder(order_id=name, broker_id=number))
        last = await row(stage, name, lambda one: one.status is BrokerStatus.CANCELLED, "cancelled")
        assert last.filled_quantity == 0
        (true,) = await stage.truth(name)
        assert not true.is_live
        told(cancelled=1)

    perform(scenario)


def test_a_stop_rests_and_becomes_a_limit_order_that_fills(perform: Perform) -> None:
    """As every exit does: the stop that protects is modified into the way out."""

    async def scenario(stage: Stage) -> None:
        contract = stage.options()[0]
        await filled(stage, place(stage, await eager(stage, contract)))
        bid = (await stage.last(contract.id)).bid_paise
        assert bid is not None
        trigger = contract.round_down(bid * 80 // 100)
        stop = replace(
            terms_of(contract, Side.SELL, contract.lot_size, trigger - contract.price_step_paise),
            order_type=OrderType.STOP_LIMIT,
            trigger_paise=trigger,
        )
        name = place(stage, stop, stage.new_id("S"))
        resting = await working(stage, name)
        assert resting.terms == stop
        out = contract.round_down(bid * 97 // 100)
        wanted = terms_of(contract, Side.SELL, contract.lot_size, out)
        stage.ask(ModifyOrder(order_id=name, broker_id=resting.broker_id, terms=wanted))
        await filled(stage, name)
        assert await stage.net(contract) == 0
        told(stops=1, filled=contract.lot_size)

    perform(scenario)


# -- refusals


async def too_dear(stage: Stage, contract: Instrument) -> OrderTerms:
    """More than the account's cash pays for."""
    lots = (contract.freeze_quantity - 1) // contract.lot_size
    return await eager(stage, contract, lots=lots)


async def too_large(stage: Stage, contract: Instrument) -> OrderTerms:
    """The first quantity that the exchange freezes, of the cheapest contract."""
    lots = -(-contract.freeze_quantity // contract.lot_size)
    return await patient(stage, contract, lots=lots)


async def out_of_band(stage: Stage, contract: Instrument) -> OrderTerms:
    """A price far above anything that is permitted."""
    terms = await eager(stage, contract)
    return replace(terms, limit_paise=contract.round_up(terms.limit_paise * 3))


async def beyond_its_trigger(stage: Stage, contract: Instrument) -> OrderTerms:
    """A stop below a price that stands below its trigger already."""
    last = (await stage.last(contract.id)).last_paise
    trigger = contract.round_up(last * 120 // 100)
    return replace(
        terms_of(contract, Side.SELL, contract.lot_size, trigger - contract.price_step_paise),
        order_type=OrderType.STOP_LIMIT,
        trigger_paise=trigger,
    )


async def far_behind_its_trigger(stage: Stage, contract: Instrument) -> OrderTerms:
    """A stop whose limit is a tenth of its trigger."""
    last = (await stage.last(contract.id)).last_paise
    trigger = contract.round_down(last * 70 // 100)
    return replace(
        terms_of(contract, Side.SELL, contract.lot_size, contract.round_up(trigger // 10)),
        order_type=OrderType.STOP_LIMIT,
        trigger_paise=trigger,
    )


Asking = Callable[[Stage, Instrument], Awaitable[OrderTerms]]
"""Makes terms that are refused."""


@pytest.mark.parametrize(
    ("ask", "why", "is_bought"),
    [
        (too_dear, Refusal.FUNDS, False),
        (too_large, Refusal.QUANTITY, False),
        (out_of_band, Refusal.BAND, False),
        (beyond_its_trigger, Refusal.BEYOND_TRIGGER, True),
        (far_behind_its_trigger, Refusal.TRIGGER_DISTANCE, True),
    ],
)
def test_a_refusal_has_its_class(
    perform: Perform, ask: Asking, why: Refusal, *, is_bought: bool
) -> None:
    """Whether at once or in the row; nothing rests and nothing is filled."""

    async def scenario(stage: Stage) -> None:
        contract = stage.options()[0] if why is not Refusal.QUANTITY else stage.options()[-1]
        if is_bought:
            await filled(stage, place(stage, await eager(stage, contract)))
        held = await stage.net(contract)
        name = place(stage, await ask(stage, contract))
        assert await refusal(stage, name) is why
        assert not any(one.is_live or one.filled for one in await stage.truth(name))
        assert await stage.net(contract) == held
        told(refused=why)

    perform(scenario)


def test_a_quantity_that_is_no_whole_lot_is_refused(perform: Perform) -> None:
    """With what class is the broker's business: it has no word of its own for it."""

    async def scenario(stage: Stage) -> None:
        contract = stage.options()[0]
        terms = await patient(stage, contract)
        name = place(stage, replace(terms, quantity=contract.lot_size + 1))
        assert await refusal(stage, name) in {Refusal.QUANTITY, Refusal.OTHER}
        assert not any(one.is_live for one in await stage.truth(name))

    perform(scenario)


def test_a_closed_market_takes_nothing(perform: Perform) -> None:
    """Neither an order nor a change of one; what rests goes on resting."""

    async def scenario(stage: Stage) -> None:
        contract = stage.options()[0]
        terms = await patient(stage, contract)
        resting = place(stage, terms)
        number = (await working(stage, resting)).broker_id
        await stage.let(Trouble.CLOSED)
        name = place(stage, terms)
        assert await refusal(stage, name) is Refusal.CLOSED_MARKET
        stage.ask(CancelOrder(order_id=resting, broker_id=number))
        no = await failed(stage, resting, Action.CANCEL)
        assert (no.outcome, no.refusal) == (Outcome.REFUSED, Refusal.CLOSED_MARKET)
        (true,) = await stage.truth(resting)
        assert true.is_live
        told(refused=2)

    perform(scenario)


def test_what_is_over_cannot_be_changed(perform: Perform) -> None:
    """Modified or cancelled after the last fill: a no of its own class, and nothing happens."""

    async def scenario(stage: Stage) -> None:
        contract = stage.options()[0]
        terms = await eager(stage, contract)
        name = place(stage, terms)
        number = (await filled(stage, name)).broker_id
        stage.ask(ModifyOrder(order_id=name, broker_id=number, terms=terms))
        stage.ask(CancelOrder(order_id=name, broker_id=number))
        for action in (Action.MODIFY, Action.CANCEL):
            no = await failed(stage, name, action)
            assert (no.outcome, no.refusal) == (Outcome.REFUSED, Refusal.NOT_MODIFIABLE)
        assert await stage.net(contract) == contract.lot_size
        told(refused=2)

    perform(scenario)


def test_an_order_that_nobody_knows_is_not_found_and_not_cancelled(perform: Perform) -> None:
    """Not found proves nothing, so it is a failed read; a cancel of it is a no."""

    async def scenario(stage: Stage) -> None:
        name = stage.new_id()
        stage.ask(FindOrder(order_id=name))
        unread = await stage.until(
            first(stage, ReadFailed, lambda one: one.what == f"order {name}"), "not found"
        )
        assert "not found" in unread.reason
        stage.ask(CancelOrder(order_id=name, broker_id=BrokerOrderId("91226112099999")))
        no = await failed(stage, name, Action.CANCEL)
        assert (no.outcome, no.refusal) == (Outcome.REFUSED, Refusal.NOT_MODIFIABLE)

    perform(scenario)


def test_one_id_sent_twice_is_two_orders(perform: Perform) -> None:
    """The broker tells nothing apart by our id, and its book shows both."""

    async def scenario(stage: Stage) -> None:
        terms = await patient(stage, stage.options()[0])
        name = place(stage, terms)
        await working(stage, name)
        place(stage, terms, name)

        def numbers() -> set[BrokerOrderId]:
            rows = [one.row for one in stage.heard if isinstance(one, OrderUpdated)]
            return {one.broker_id for one in rows if one.order_id == name}

        await stage.pass_by(lambda: len(numbers()) == 2, "both are told")
        true = await stage.truth(name)
        shown = [one for one in (await book(stage)).orders if one.order_id == name]
        assert sorted(one.broker_id for one in shown) == sorted(one.number for one in true)
        assert len({one.broker_id for one in shown}) == 2
        told(orders=len(shown))

    perform(scenario)


# -- what is heard first, what is heard never


def test_a_fill_may_be_told_before_the_answer(perform: Perform) -> None:
    """It is known by our id, so that nothing has to wait for the broker's number."""

    async def scenario(stage: Stage) -> None:
        await stage.let(Trouble.WORD_FIRST)
        name = place(stage, await eager(stage, stage.options()[0]))
        await acknowledged(stage, name)
        kinds = [
            type(one)
            for one in stage.heard
            if (isinstance(one, OrderAcknowledged) and one.order_id == name)
            or (isinstance(one, OrderUpdated) and one.row.order_id == name)
        ]
        assert kinds[0] is OrderUpdated, kinds
        last = await filled(stage, name)
        (true,) = await stage.truth(name)
        assert last.broker_id == true.number
        told(words_before=kinds.index(OrderAcknowledged))

    perform(scenario)


def test_a_lost_answer_to_a_placement_is_no_answer_and_the_order_is_found(
    perform: Perform,
) -> None:
    """UNANSWERED, never refused; by our id alone it is found, and in the book."""

    async def scenario(stage: Stage) -> None:
        await stage.let(Trouble.PLACE_UNANSWERED)
        await stage.let(Trouble.WORDS_LOST)
        name = place(stage, await patient(stage, stage.options()[0]))
        assert (await failed(stage, name, Action.PLACE)).outcome is Outcome.UNANSWERED
        assert not [one for one in stage.heard if isinstance(one, OrderUpdated)]
        (true,) = await stage.truth(name)
        stage.ask(FindOrder(order_id=name))
        found = await stage.until(
            first(stage, OrderUpdated, lambda one: one.row.order_id == name), "found"
        )
        assert found.is_read
        assert found.row.broker_id == true.number
        shown = [one for one in (await book(stage)).orders if one.order_id == name]
        assert [(one.broker_id, one.status) for one in shown] == [
            (true.number, BrokerStatus.WORKING)
        ]
        told(lost=1, found=2)

    perform(scenario)


@pytest.mark.parametrize("trouble", [Trouble.MODIFY_UNANSWERED, Trouble.CANCEL_UNANSWERED])
def test_a_lost_answer_to_a_change_says_nothing_and_the_change_is_done(
    perform: Perform, trouble: Trouble
) -> None:
    """The row tells what became of it."""

    async def scenario(stage: Stage) -> None:
        contract = stage.options()[0]
        terms = await patient(stage, contract)
        name = place(stage, terms)
        number = (await working(stage, name)).broker_id
        await stage.let(trouble)
        wanted = replace(terms, limit_paise=terms.limit_paise - contract.price_step_paise)
        is_cancel = trouble is Trouble.CANCEL_UNANSWERED
        if is_cancel:
            stage.ask(CancelOrder(order_id=name, broker_id=number))
        else:
            stage.ask(ModifyOrder(order_id=name, broker_id=number, terms=wanted))
        action = Action.CANCEL if is_cancel else Action.MODIFY
        assert (await failed(stage, name, action)).outcome is Outcome.UNANSWERED
        await row(
            stage,
            name,
            lambda one: one.status is BrokerStatus.CANCELLED if is_cancel else one.terms == wanted,
            "it is done",
        )
        (true,) = await stage.truth(name)
        assert true.is_live is not is_cancel
        told(lost=1)

    perform(scenario)


def test_a_request_that_never_left_was_never_there(perform: Perform) -> None:
    """NOT_SENT may be sent again: the exchange has not heard of it."""

    async def scenario(stage: Stage) -> None:
        terms = await patient(stage, stage.options()[0])
        await stage.let(Trouble.NOT_SENT)
        name = place(stage, terms)
        assert (await failed(stage, name, Action.PLACE)).outcome is Outcome.NOT_SENT
        await stage.calm()
        assert list(await stage.truth(name)) == []
        place(stage, terms, name)
        await working(stage, name)
        assert len(await stage.truth(name)) == 1
        told(not_sent=1, sent=1)

    perform(scenario)


def test_a_modification_that_is_ignored_changes_no_word(perform: Perform) -> None:
    """The broker says yes and does nothing: the order's own row is what counts."""

    async def scenario(stage: Stage) -> None:
        contract = stage.options()[0]
        terms = await patient(stage, contract)
        name = place(stage, terms)
        number = (await working(stage, name)).broker_id
        await stage.let(Trouble.MODIFY_IGNORED)
        wanted = replace(terms, limit_paise=terms.limit_paise - contract.price_step_paise)
        stage.ask(ModifyOrder(order_id=name, broker_id=number, terms=wanted))
        before = len(stage.heard)
        stage.ask(FindOrder(order_id=name))

        def found() -> OrderUpdated | None:
            rows: Sequence[AnyEvent] = stage.heard[before:]
            return next(
                (one for one in rows if isinstance(one, OrderUpdated) and one.is_read), None
            )

        read = await stage.until(found, "read")
        assert read.row.terms == terms
        (true,) = await stage.truth(name)
        assert (true.is_live, true.limit_paise) == (True, terms.limit_paise)

    perform(scenario)
