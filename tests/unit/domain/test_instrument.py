"""Instruments: keys that cannot be confused, rows that cannot be half, prices on the step."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.domain.instrument import BrokerKey, Instrument, Kind, Product, Segment, instrument_id
from tests.support.desk import CALL, NIFTY


def changed(instrument: Instrument = CALL, /, **fields: object) -> Instrument:
    """The row with other columns."""
    return msgspec.structs.replace(instrument, **fields)


def test_a_number_is_no_key_without_its_segment() -> None:
    """The same security id names another contract in another segment, and the key says so."""
    assert instrument_id(Segment.NSE_FNO, 40_001) == CALL.id == "NSE_FNO:40001"
    assert instrument_id(Segment.BSE_FNO, 40_001) != CALL.id


def test_one_contract_in_two_products_is_two_positions_at_the_broker() -> None:
    """A sale in another product is a new short (T8), so the key holds the product."""
    assert BrokerKey(CALL.id, Product.INTRADAY) != BrokerKey(CALL.id, Product.MARGIN)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"id": NIFTY.id}, "id IDX_I:13 is not that of NSE_FNO:40001"),
        ({"security_id": 40_002}, "id NSE_FNO:40001 is not that of NSE_FNO:40002"),
        ({"segment": Segment.BSE_FNO}, "id NSE_FNO:40001 is not that of BSE_FNO:40001"),
        ({"expiry": None}, "lacks expiry, strike or type"),
        ({"strike_paise": None}, "lacks expiry, strike or type"),
        ({"option_type": None}, "lacks expiry, strike or type"),
        ({"lot_size": 0}, "lacks a lot size or a price step"),
        ({"lot_size": -65}, "lacks a lot size or a price step"),
        ({"price_step_paise": 0}, "lacks a lot size or a price step"),
        ({"price_step_paise": -5}, "lacks a lot size or a price step"),
    ],
)
def test_half_a_row_is_refused(fields: dict[str, object], says: str) -> None:
    """A master row that contradicts itself, or lacks what an order needs, is no instrument."""
    with pytest.raises(ValueError, match=says):
        changed(**fields)


def test_what_a_kind_does_not_need_it_may_lack() -> None:
    """An index has no lot and no step; a future has no strike; the least of each is enough."""
    assert NIFTY.lot_size == NIFTY.price_step_paise == 0
    future = changed(kind=Kind.FUTURE, strike_paise=None, option_type=None)
    assert future.kind is Kind.FUTURE
    least = changed(lot_size=1, price_step_paise=1, freeze_quantity=0)
    assert least.freeze_quantity == 0


@pytest.mark.parametrize(
    ("price", "down", "up"),
    [(10_000, 10_000, 10_000), (10_001, 10_000, 10_005), (10_004, 10_000, 10_005), (4, 0, 5)],
)
def test_a_price_is_rounded_to_the_step_on_either_side(price: int, down: int, up: int) -> None:
    """A price on the step stays, any other moves less than a step."""
    assert (CALL.round_down(price), CALL.round_up(price)) == (down, up)


@pytest.mark.proves("B-13")
@given(price=st.integers(1, 10_000_000), step=st.sampled_from([1, 5, 10, 25]))
def test_rounding_keeps_whole_paise_on_the_step(price: int, step: int) -> None:
    """For any price and step: whole numbers, on the step, less than a step away."""
    instrument = changed(price_step_paise=step)
    down, up = instrument.round_down(price), instrument.round_up(price)
    assert type(down) is type(up) is int
    assert down % step == up % step == 0
    assert price - step < down <= price <= up < price + step
