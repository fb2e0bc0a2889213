"""What an order would block, by the broker's own calculator (dhan.md 3.7)."""

from typing import Final

import msgspec

from holdfast.brokers.dhan.fields import objects, paise
from holdfast.brokers.dhan.reads import NoAnswer, ask
from holdfast.brokers.dhan.rest import Answer, Rest
from holdfast.domain.instrument import Instrument, Product
from holdfast.domain.order import Side

PATH: Final = "/margincalculator"


class Margin(msgspec.Struct, frozen=True, kw_only=True):
    """The broker's estimate for one order, in paise. `short_paise` is what is missing for it."""

    total_paise: int
    available_paise: int
    short_paise: int
    brokerage_paise: int


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """An order that may be placed. `quantity` is contracts; `trigger_paise` 0 is none."""

    instrument: Instrument
    side: Side
    quantity: int
    product: Product
    price_paise: int
    trigger_paise: int = 0


class MarginReader:
    """Asks the broker's calculator, which knows nothing of what else is held or works."""

    def __init__(self, rest: Rest, client_id: str) -> None:
        """Nothing was asked yet."""
        self._rest = rest
        self._client_id = client_id

    async def read(self, planned: Planned) -> Margin | NoAnswer:
        """What `planned` would block."""
        body = _body(self._client_id, planned)
        return await ask(self._rest, "POST", PATH, body=body, parse=margin_of)


def margin_of(answer: Answer) -> Margin:
    """Read its answer; `leverage`, which is text of two forms, is not used. Raises `Unreadable`."""
    row = objects(answer.payload, "margincalculator")
    return Margin(
        total_paise=paise(row.get("totalMargin"), "totalMargin"),
        available_paise=paise(row.get("availableBalance"), "availableBalance"),
        short_paise=paise(row.get("insufficientBalance"), "insufficientBalance"),
        brokerage_paise=paise(row.get("brokerage"), "brokerage"),
    )


def _body(client_id: str, planned: Planned) -> dict[str, object]:
    """Only what applies: an empty field is refused (dhan.md 3)."""
    instrument = planned.instrument
    body: dict[str, object] = {
        "dhanClientId": client_id,
        "exchangeSegment": instrument.segment.value,
        "transactionType": planned.side.value,
        "quantity": planned.quantity,
        "productType": planned.product.value,
        "securityId": str(instrument.security_id),
        "price": planned.price_paise / 100,
    }
    if planned.trigger_paise:
        body["triggerPrice"] = planned.trigger_paise / 100
    return body
