"""What a fill costs: whole numbers of 1/10,000 paisa until a statement rounds them.

One paisa is 10,000 of the unit `_e4`, so that a rate of 1e-7 on a small premium is not lost.
"""

from typing import Final

import msgspec

from holdfast.domain.dated import ChargeRates
from holdfast.domain.order import Side

PAISA_E4: Final = 10_000
RUPEE_E4: Final = 100 * PAISA_E4
RATE_UNIT: Final = 10_000_000

_TO_THE_RUPEE: Final = ("stt", "stamp")
"""What the tax offices take in whole rupees; everything else is taken to the paisa."""


class Charges(msgspec.Struct, frozen=True, kw_only=True):
    """The components of one or more fills' charges, each in 1/10,000 paisa, none negative."""

    brokerage_e4: int = 0
    stt_e4: int = 0
    transaction_e4: int = 0
    ipft_e4: int = 0
    sebi_e4: int = 0
    stamp_e4: int = 0
    gst_e4: int = 0

    def __post_init__(self) -> None:
        """Money is never a float, and nobody is paid for trading."""
        amounts = msgspec.structs.astuple(self)
        assert all(type(amount) is int and amount >= 0 for amount in amounts), amounts

    def __add__(self, other: "Charges") -> "Charges":
        """Component by component, nothing rounded."""
        return Charges(
            brokerage_e4=self.brokerage_e4 + other.brokerage_e4,
            stt_e4=self.stt_e4 + other.stt_e4,
            transaction_e4=self.transaction_e4 + other.transaction_e4,
            ipft_e4=self.ipft_e4 + other.ipft_e4,
            sebi_e4=self.sebi_e4 + other.sebi_e4,
            stamp_e4=self.stamp_e4 + other.stamp_e4,
            gst_e4=self.gst_e4 + other.gst_e4,
        )

    @property
    def total_e4(self) -> int:
        """The sum of all components, exact."""
        return sum(msgspec.structs.astuple(self))

    @property
    def total_paise(self) -> int:
        """The sum rounded half up to the paisa: a running figure, not what a statement shows."""
        return _half_up(self.total_e4, PAISA_E4)


def fill_charges(
    rates: ChargeRates,
    side: Side,
    *,
    value_paise: int,
    order_value_before_paise: int,
    first_fill: bool,
) -> Charges:
    """The charges of one fill of an order, each component rounded half up to 1/10,000 paisa.

    `value_paise` is price times quantity of the fill, `order_value_before_paise` that of the
    order's earlier fills. Brokerage is per order: a fill bears what it adds to the order's, so
    that the fills of an order sum to it exactly, however many they are.
    """
    assert value_paise >= 0, f"a fill is worth {value_paise} paise"
    assert order_value_before_paise >= 0, (
        f"earlier fills are worth {order_value_before_paise} paise"
    )
    borne_e4 = 0 if first_fill else _brokerage_e4(rates, order_value_before_paise)
    brokerage_e4 = _brokerage_e4(rates, order_value_before_paise + value_paise) - borne_e4
    transaction_e4 = _part_e4(value_paise, rates.transaction_e7)
    ipft_e4 = _part_e4(value_paise, rates.ipft_e7)
    sebi_e4 = _part_e4(value_paise, rates.sebi_e7)
    taxed_e4 = brokerage_e4 + transaction_e4 + ipft_e4 + sebi_e4
    return Charges(
        brokerage_e4=brokerage_e4,
        stt_e4=_part_e4(value_paise, rates.stt_sell_e7) if side is Side.SELL else 0,
        transaction_e4=transaction_e4,
        ipft_e4=ipft_e4,
        sebi_e4=sebi_e4,
        stamp_e4=_part_e4(value_paise, rates.stamp_buy_e7) if side is Side.BUY else 0,
        gst_e4=_half_up(taxed_e4 * rates.gst_e7, RATE_UNIT),
    )


def corrected_charges(
    charges: Charges, rates: ChargeRates, side: Side, *, before_paise: int, after_paise: int
) -> Charges:
    """`charges` where the fills of an order among them are worth `after_paise`, not `before_paise`.

    None becomes negative: each is rounded by the fill, and what is taken away by the order.
    """
    was, is_ = (
        msgspec.structs.asdict(
            fill_charges(
                rates, side, value_paise=value, order_value_before_paise=0, first_fill=True
            )
        )
        for value in (before_paise, after_paise)
    )
    borne = msgspec.structs.asdict(charges)
    return Charges(**{name: max(borne[name] + is_[name] - was[name], 0) for name in borne})


def exercise_charges(rates: ChargeRates, side: Side, value_paise: int) -> Charges:
    """What a settlement costs: tax on the intrinsic value of a long that is exercised, no order.

    `side` is that of the position, `value_paise` its settlement value times its contracts.
    """
    stt_e4 = _part_e4(value_paise, rates.stt_exercise_e7) if side is Side.BUY else 0
    return Charges(stt_e4=stt_e4)


def closing_charges_paise(rates: ChargeRates, side: Side, value_paise: int) -> int:
    """What closing by one order of `side` worth `value_paise` would cost, rounded up to the paisa.

    An estimate for marks and sizing: rather a paisa too much than a limit passed unseen.
    """
    charges = fill_charges(
        rates, side, value_paise=value_paise, order_value_before_paise=0, first_fill=True
    )
    return -(-charges.total_e4 // PAISA_E4)


def statement(charges: Charges) -> dict[str, int]:
    """Charges as a closed trade or a contract note shows them, in paise, with their `total`.

    Each component is rounded half up on its own, STT and stamp duty to the rupee.
    """
    lines: dict[str, int] = {}
    for field, amount_e4 in msgspec.structs.asdict(charges).items():
        name = field.removesuffix("_e4")
        if name in _TO_THE_RUPEE:
            lines[name] = 100 * _half_up(amount_e4, RUPEE_E4)
        else:
            lines[name] = _half_up(amount_e4, PAISA_E4)
    return lines | {"total": sum(lines.values())}


def _brokerage_e4(rates: ChargeRates, order_value_paise: int) -> int:
    flat_e4 = rates.brokerage_paise_max * PAISA_E4
    if rates.brokerage_e7 == 0:
        return flat_e4
    return min(flat_e4, _part_e4(order_value_paise, rates.brokerage_e7))


def _part_e4(value_paise: int, rate_e7: int) -> int:
    return _half_up(value_paise * rate_e7 * PAISA_E4, RATE_UNIT)


def _half_up(numerator: int, denominator: int) -> int:
    """The quotient to the nearest whole number; a half goes up."""
    return (2 * numerator + denominator) // (2 * denominator)
