"""Choosing the contract: nearest strike, nearest expiry, steps out of the money."""

import random
from itertools import product

import pytest

from holdfast.core.options.strikes import at_the_money, choose, option_type_for
from holdfast.domain.decision import Direction
from holdfast.domain.instrument import (
    Exchange,
    Instrument,
    Kind,
    OptionType,
    Segment,
    instrument_id,
)

CALL, PUT = OptionType.CALL, OptionType.PUT
STRIKES = (2_565_000, 2_570_000, 2_575_000, 2_580_000, 2_585_000)
EXPIRIES = ("2025-12-16", "2025-12-23")


def option(number: int, strike: int, option_type: OptionType, **changes: str) -> Instrument:
    """One NIFTY contract."""
    underlying = changes.get("underlying", "NIFTY")
    return Instrument(
        id=instrument_id(Segment.NSE_FNO, number),
        segment=Segment.NSE_FNO,
        security_id=number,
        symbol=f"{underlying}{strike}{option_type}",
        exchange=Exchange.NSE,
        kind=Kind.OPTION,
        underlying=underlying,
        lot_size=75,
        price_step_paise=5,
        freeze_quantity=1_801,
        expiry=changes.get("expiry", EXPIRIES[0]),
        strike_paise=strike,
        option_type=option_type,
    )


def listed() -> list[Instrument]:
    """Both types, two expiries, another underlying nearer to every spot, and the index itself."""
    rows = product(("NIFTY", "BANKNIFTY"), EXPIRIES, STRIKES, (CALL, PUT))
    options = [
        option(number, strike, option_type, expiry=expiry, underlying=underlying)
        for number, (underlying, expiry, strike, option_type) in enumerate(rows, start=1)
    ]
    index = Instrument(
        id=instrument_id(Segment.IDX_I, 13),
        segment=Segment.IDX_I,
        security_id=13,
        symbol="NIFTY",
        exchange=Exchange.NSE,
        kind=Kind.INDEX,
        underlying="NIFTY",
        lot_size=0,
        price_step_paise=0,
        freeze_quantity=0,
    )
    return [index, *options]


@pytest.mark.parametrize(
    ("spot", "strike"),
    [
        (2_575_000, 2_575_000),
        (2_577_499, 2_575_000),
        (2_577_500, 2_575_000),  # a tie goes to the lower
        (2_577_501, 2_580_000),
        (1, 2_565_000),
        (9_999_999, 2_585_000),
    ],
)
def test_the_nearest_strike_is_at_the_money(spot: int, strike: int) -> None:
    """Whole paise in any order of listing; of two equally near strikes the lower."""
    assert at_the_money(STRIKES, spot) == strike
    assert at_the_money(STRIKES[::-1], spot) == strike


def test_no_strike_is_an_error_of_the_caller() -> None:
    """There is no nearest of nothing."""
    with pytest.raises(ValueError, match="empty"):
        at_the_money((), 2_575_000)


@pytest.mark.parametrize(
    ("direction", "option_type"), [(Direction.UP, CALL), (Direction.DOWN, PUT)]
)
def test_up_buys_the_call_and_down_buys_the_put(
    direction: Direction, option_type: OptionType
) -> None:
    """Both are bought: the direction chooses the contract, never the side."""
    assert option_type_for(direction) is option_type


@pytest.mark.parametrize(
    ("option_type", "offset", "strike"),
    [
        (CALL, 0, 2_575_000),
        (CALL, 1, 2_580_000),
        (CALL, 2, 2_585_000),
        (CALL, -1, 2_570_000),
        (CALL, 3, None),
        (CALL, -3, None),
        (PUT, 0, 2_575_000),
        (PUT, 1, 2_570_000),
        (PUT, 2, 2_565_000),
        (PUT, -1, 2_580_000),
        (PUT, 3, None),
        (PUT, -3, None),
    ],
)
def test_an_offset_counts_strikes_out_of_the_money(
    option_type: OptionType, offset: int, strike: int | None
) -> None:
    """Out is up for calls and down for puts; past the last listed strike there is nothing."""
    chosen = choose(
        listed(),
        "NIFTY",
        spot_paise=2_576_000,
        option_type=option_type,
        offset=offset,
        day="2025-12-15",
    )
    assert (chosen.strike_paise if chosen else None) == strike
    if chosen is not None:
        assert (chosen.underlying, chosen.option_type) == ("NIFTY", option_type)


@pytest.mark.parametrize(
    ("day", "expiry"),
    [
        ("2025-12-15", "2025-12-16"),
        ("2025-12-16", "2025-12-16"),
        ("2025-12-17", "2025-12-23"),
        ("2025-12-24", None),
    ],
)
def test_the_nearest_expiry_is_the_first_on_or_after_the_day(day: str, expiry: str | None) -> None:
    """On expiry day itself its contracts still count; yesterday's never do."""
    chosen = choose(listed(), "NIFTY", spot_paise=2_576_000, option_type=CALL, offset=0, day=day)
    assert (chosen.expiry if chosen else None) == expiry


def test_only_strikes_listed_for_that_expiry_and_type_count() -> None:
    """A strike of next week, or one with a put only, is no step for a call of this week."""
    rows = [
        option(1, 2_570_000, CALL),
        option(2, 2_575_000, PUT),
        option(3, 2_575_000, CALL, expiry=EXPIRIES[1]),
        option(4, 2_590_000, CALL),
    ]
    steps = [
        choose(rows, "NIFTY", spot_paise=2_575_000, option_type=CALL, offset=step, day=EXPIRIES[0])
        for step in (0, 1, 2)
    ]
    assert steps == [rows[0], rows[3], None]


def test_the_order_of_the_master_has_no_influence() -> None:
    """Shuffled rows, twins included, give the same contract."""
    rows = [*listed(), option(900, 2_575_000, CALL), option(901, 2_575_000, CALL)]
    order = random.Random(119)
    chosen = set()
    for _ in range(50):
        order.shuffle(rows)
        one = choose(
            rows, "NIFTY", spot_paise=2_575_000, option_type=CALL, offset=0, day=EXPIRIES[0]
        )
        chosen.add(one.id if one else None)
    assert chosen == {instrument_id(Segment.NSE_FNO, 5)}
