"""What an order would block."""

import asyncio
import json
from pathlib import Path

import pytest

from holdfast.brokers.dhan.fields import Unreadable
from holdfast.brokers.dhan.margin import Margin, MarginReader, Planned, margin_of
from holdfast.brokers.dhan.rest import Rest
from holdfast.domain.instrument import (
    Exchange,
    Instrument,
    Kind,
    OptionType,
    Product,
    Segment,
    instrument_id,
)
from holdfast.domain.order import Side
from holdfast.runtime.clock import ScaledClock
from tests.support.dhan_account import NOW_NS, answer, recorded, sample
from tests.support.dhan_wire import CLIENT_ID, Heard, Whose, WireServer, said

CALL = Instrument(
    id=instrument_id(Segment.NSE_FNO, 40001),
    segment=Segment.NSE_FNO,
    security_id=40001,
    symbol="NIFTY-Nov2026-26000-CE",
    exchange=Exchange.NSE,
    kind=Kind.OPTION,
    underlying="NIFTY",
    lot_size=65,
    price_step_paise=5,
    freeze_quantity=1_800,
    expiry="2026-11-24",
    strike_paise=26_000_00,
    option_type=OptionType.CALL,
)


def test_the_samples_are_read(shared_data: Path) -> None:
    """In paise; its leverage, text of two forms, is not used."""
    assert margin_of(answer(sample(shared_data, "margincalculator.json"))) == Margin(
        total_paise=7_140_00, available_paise=0, short_paise=0, brokerage_paise=0
    )
    bodies = [one.body for one in recorded(shared_data) if one.uri.endswith("/margincalculator")]
    assert bodies
    assert all(margin_of(answer(body)).total_paise > 0 for body in bodies)


@pytest.mark.parametrize("body", ["{}", "[]", '{"totalMargin": "x"}'])
def test_what_does_not_say_is_unreadable(body: str) -> None:
    """No margin is not a margin of nothing."""
    with pytest.raises(Unreadable):
        margin_of(answer(body))


@pytest.mark.parametrize(("trigger_paise", "expected"), [(0, {}), (98_00, {"triggerPrice": 98.0})])
def test_only_what_applies_is_asked(trigger_paise: int, expected: dict[str, float]) -> None:
    """An empty field is refused by the broker."""
    planned = Planned(
        instrument=CALL,
        side=Side.SELL,
        quantity=130,
        product=Product.INTRADAY,
        price_paise=97_05,
        trigger_paise=trigger_paise,
    )
    full = {"totalMargin": 1.5, "availableBalance": 2, "insufficientBalance": 0, "brokerage": 20.0}

    async def main() -> tuple[object, Heard]:
        async with WireServer(lambda _: said(200, full)) as server:
            rest = Rest(server.base, Whose(), ScaledClock(NOW_NS, 5))
            try:
                return await MarginReader(rest, CLIENT_ID).read(planned), server.heard[0]
            finally:
                await rest.close()

    margin, heard = asyncio.run(main())
    assert margin == Margin(
        total_paise=150, available_paise=200, short_paise=0, brokerage_paise=2000
    )
    assert heard.path == "/margincalculator"
    assert json.loads(heard.body) == {
        "dhanClientId": CLIENT_ID,
        "exchangeSegment": "NSE_FNO",
        "transactionType": "SELL",
        "quantity": 130,
        "productType": "INTRADAY",
        "securityId": "40001",
        "price": 97.05,
        **expected,
    }
