"""What is asked of every order: each check at its boundary, and the registry as a whole."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from holdfast.domain.instrument import Exchange, Product
from holdfast.domain.order import BrokerOrderId, BrokerStatus, OrderTerms, Refusal, Side
from holdfast.exchange.checks import (
    AT_TRIGGER,
    CHECKS,
    Behaviour,
    Judge,
    ModifyBehaviour,
    Proposal,
    covers_fills,
    first_objection,
    is_before_trigger,
    is_below_freeze,
    is_funded,
    is_in_band,
    is_listed,
    is_modifiable,
    is_near_trigger,
    is_on_step,
    is_open,
    is_whole_lots,
    keeps_type,
    meets_no_own,
    rupees,
    takes_product,
)
from holdfast.exchange.order import LiveOrder
from tests.support.desk import CALL, CLOSE, FACTS, NIFTY, OPEN, PUT, SESSION
from tests.unit.exchange.floor import at, buy, oid, sell, stop


def current(
    terms: OrderTerms, *, filled: int = 0, modified: int = 0, is_ended: bool = False
) -> LiveOrder:
    """The order that a proposal would modify."""
    order = LiveOrder(oid("A"), BrokerOrderId("1"), terms=terms, rank=1, at_ns=at(0))
    if filled:
        order.fill(filled, filled * terms.limit_paise, at(0))
    order.modifications = modified
    if is_ended:
        order.end(BrokerStatus.CANCELLED, at(1))
    return order


def asked(terms: OrderTerms, **changes: object) -> Proposal:
    """A proposal that every check lets pass unless `changes` say otherwise."""
    usual = Proposal(
        terms=terms,
        at_ns=at(60),
        facts=FACTS,
        contract=CALL,
        last_paise=10_000,
        reference_paise=10_000,
        free_paise=10**9,
    )
    return replace(usual, **changes)


SQUARE_OFF = SESSION.square_off_ns
MARGIN_BUY = replace(buy(10_000), product=Product.MARGIN)
REFUSES = Behaviour(stop_to_limit=ModifyBehaviour.REFUSES)
RESTING_STOP = stop(Side.SELL, 9_000, 8_900)
CLOSED = replace(FACTS, sessions=(replace(SESSION, exchange=Exchange.BSE),))
BREAK = replace(FACTS, sessions=(replace(SESSION, windows=((OPEN, at(50)), (at(70), CLOSE))),))

ROWS: list[tuple[Callable[[Proposal], str | None], Proposal, Proposal]] = [
    # check, the last that passes, the first that does not
    (is_listed, asked(buy(10_000)), asked(buy(10_000), contract=None)),
    (is_listed, asked(buy(10_000)), asked(buy(10_000), contract=NIFTY)),
    (is_open, asked(buy(10_000), at_ns=OPEN), asked(buy(10_000), at_ns=OPEN - 1)),
    (is_open, asked(buy(10_000), at_ns=CLOSE - 1), asked(buy(10_000), at_ns=CLOSE)),
    (is_open, asked(buy(10_000)), asked(buy(10_000), facts=CLOSED)),
    (is_open, asked(buy(10_000), facts=BREAK, at_ns=at(70)), asked(buy(10_000), facts=BREAK)),
    (
        takes_product,
        asked(buy(10_000), at_ns=SQUARE_OFF - 1),
        asked(buy(10_000), at_ns=SQUARE_OFF),
    ),
    (takes_product, asked(MARGIN_BUY, at_ns=SQUARE_OFF), asked(buy(10_000), at_ns=SQUARE_OFF)),
    (
        is_modifiable,
        asked(buy(10_000), current=current(buy(9_990))),
        asked(buy(10_000), current=current(buy(9_990), is_ended=True)),
    ),
    (
        is_modifiable,
        asked(buy(10_000), current=current(buy(9_990), modified=24)),
        asked(buy(10_000), current=current(buy(9_990), modified=25)),
    ),
    (
        is_modifiable,
        asked(buy(10_000), current=current(buy(9_990))),
        asked(sell(10_000), current=current(buy(9_990))),
    ),
    (
        is_modifiable,
        asked(MARGIN_BUY, current=current(MARGIN_BUY)),
        asked(MARGIN_BUY, current=current(buy(10_000))),
    ),
    (
        is_modifiable,
        asked(buy(10_000), current=current(buy(9_990))),
        asked(replace(buy(10_000), instrument=PUT.id), current=current(buy(9_990))),
    ),
    (
        is_modifiable,
        asked(RESTING_STOP, current=current(RESTING_STOP)),
        asked(RESTING_STOP, current=current(sell(10_100))),  # it is in the book already
    ),
    (
        keeps_type,
        asked(sell(9_900), current=current(RESTING_STOP)),
        asked(sell(9_900), current=current(RESTING_STOP), behaviour=REFUSES),
    ),
    (
        keeps_type,
        asked(RESTING_STOP, current=current(RESTING_STOP), behaviour=REFUSES),
        asked(sell(9_900), current=current(RESTING_STOP), behaviour=REFUSES),
    ),
    (
        keeps_type,
        asked(sell(9_900), current=current(sell(10_100)), behaviour=REFUSES),
        asked(sell(9_900), current=current(RESTING_STOP), behaviour=REFUSES),
    ),
    (is_whole_lots, asked(buy(10_000, 130)), asked(buy(10_000, 129))),
    (is_whole_lots, asked(buy(10_000, 65)), asked(buy(10_000, 66))),
    (
        is_below_freeze,
        asked(buy(10_000, 1_755), contract=replace(CALL, freeze_quantity=1_756)),
        asked(buy(10_000, 1_755), contract=replace(CALL, freeze_quantity=1_755)),
    ),
    (
        is_below_freeze,
        asked(buy(10_000)),
        asked(buy(10_000), contract=replace(CALL, freeze_quantity=0)),  # none known
    ),
    (
        covers_fills,
        asked(buy(10_000, 65), current=current(buy(10_000, 130), filled=65)),
        asked(buy(10_000, 65), current=current(buy(10_000, 195), filled=130)),
    ),
    (is_on_step, asked(buy(10_005)), asked(buy(10_003))),
    (is_on_step, asked(RESTING_STOP), asked(stop(Side.SELL, 9_001, 8_900))),
    (
        is_funded,
        asked(buy(10_000), need_paise=650_000, free_paise=650_000),
        asked(buy(10_000), need_paise=650_001, free_paise=650_000),
    ),
    (
        is_funded,
        asked(sell(10_000), need_paise=0, free_paise=-1),  # a closer needs nothing
        asked(sell(10_000), need_paise=1, free_paise=-1),
    ),
    (
        is_before_trigger,
        asked(stop(Side.SELL, 9_995, 9_990)),
        asked(stop(Side.SELL, 10_000, 9_990)),
    ),
    (
        is_before_trigger,
        asked(stop(Side.BUY, 10_005, 10_010)),
        asked(stop(Side.BUY, 10_000, 10_010)),
    ),
    (
        is_before_trigger,
        asked(stop(Side.SELL, 10_000, 9_990), last_paise=None),  # nothing has traded
        asked(stop(Side.SELL, 10_000, 9_990), last_paise=9_000),
    ),
    (
        is_near_trigger,
        asked(stop(Side.SELL, 9_000, 7_200)),  # 20 % of 90.00 is 18.00
        asked(stop(Side.SELL, 9_000, 7_195)),
    ),
    (
        is_near_trigger,
        asked(stop(Side.BUY, 11_000, 13_200)),
        asked(stop(Side.BUY, 11_000, 13_205)),
    ),
    (
        is_near_trigger,
        asked(stop(Side.SELL, 5_000, 4_000)),  # ten rupees at 50.00 and below
        asked(stop(Side.SELL, 5_000, 3_995)),
    ),
    (
        is_near_trigger,
        asked(stop(Side.SELL, 9_000, 9_000)),
        asked(stop(Side.SELL, 9_000, 9_005)),  # before the trigger
    ),
    (
        is_near_trigger,
        asked(stop(Side.BUY, 11_000, 11_000)),
        asked(stop(Side.BUY, 11_000, 10_995)),
    ),
    (is_in_band, asked(buy(14_000)), asked(buy(14_005))),  # 40 % around 100.00
    (is_in_band, asked(sell(6_000)), asked(sell(5_995))),
    (
        is_in_band,
        asked(buy(7_000), reference_paise=5_000),  # twenty rupees at 50.00 and below
        asked(buy(7_005), reference_paise=5_000),
    ),
    (is_in_band, asked(sell(5_995), reference_paise=None), asked(sell(5_995))),
    (is_in_band, asked(stop(Side.SELL, 6_000, 5_900)), asked(sell(5_900))),  # at its trigger
    (
        meets_no_own,
        asked(buy(10_000)),
        asked(buy(10_000), meets=current(sell(10_000))),
    ),
]


@pytest.mark.parametrize(
    ("objection", "passes", "fails"),
    ROWS,
    ids=[f"{row[0].__name__}-{number}" for number, row in enumerate(ROWS)],
)
@pytest.mark.proves("T29")
def test_each_check_draws_its_line(
    objection: Callable[[Proposal], str | None], passes: Proposal, fails: Proposal
) -> None:
    """The nearest terms on both sides of it."""
    assert objection(passes) is None
    assert objection(fails)


def test_the_table_holds_every_check_of_the_registry() -> None:
    """A new check without a row here fails; so does a row whose check nobody asks."""
    assert {row[0] for row in ROWS} == {check.objection for check in CHECKS}


@pytest.mark.proves("T29")
def test_each_check_answers_with_its_class_through_the_registry() -> None:
    """What reaches the owner of the order is the class that decides the reaction (T13)."""
    for check, _, fails in ROWS:
        (row,) = (row for row in CHECKS if row.objection is check)
        found = first_objection(fails, (row,))
        assert found is not None
        assert (found.refusal, found.judge) == (row.refusal, row.judge)


def test_the_usual_order_meets_no_objection() -> None:
    """Otherwise the table's refusals could come from somewhere else."""
    assert first_objection(asked(buy(10_000))) is None
    assert first_objection(asked(RESTING_STOP)) is None


def test_the_first_objection_wins_and_the_broker_is_asked_first() -> None:
    """Of a wrong lot beyond the band the exchange never hears."""
    found = first_objection(asked(buy(15_000, 66)))
    assert found is not None
    assert (found.judge, found.refusal) == (Judge.BROKER, Refusal.QUANTITY)
    judges = [check.judge for check in CHECKS]
    assert judges == sorted(judges, key=[Judge.BROKER, Judge.EXCHANGE].index)


def test_at_a_trigger_band_and_self_trade_are_asked_again() -> None:
    """The reference has moved since the stop was placed, and so have our other orders (T1, T6)."""
    assert [check.objection for check in AT_TRIGGER] == [is_in_band, meets_no_own]


@pytest.mark.parametrize(
    ("paise", "text"), [(12_345, "123.45"), (5, "0.05"), (-10, "-0.10"), (100, "1.00")]
)
def test_prices_are_written_in_rupees(paise: int, text: str) -> None:
    """As people write them, always with both decimals."""
    assert rupees(paise) == text
