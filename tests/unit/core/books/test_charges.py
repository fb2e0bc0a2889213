"""Charges against worked examples, against a broker's own figures, and across partial fills."""

import datetime as dt
import gzip
import importlib
import itertools
import json
import pkgutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast import domain
from holdfast.core.books import charges, postings
from holdfast.core.books.charges import (
    Charges,
    closing_charges_paise,
    fill_charges,
    statement,
)
from holdfast.domain.dated import ChargeRates
from holdfast.domain.instrument import Exchange, Kind
from holdfast.domain.order import Side
from holdfast.facts.load import load_day_facts

APRIL = dt.date(2026, 4, 1)
MARCH = dt.date(2026, 3, 31)
COMPONENTS = ("brokerage", "stt", "transaction", "ipft", "sebi", "stamp", "gst")


def rates_of(exchange: Exchange, kind: Kind, day: dt.date = APRIL) -> ChargeRates:
    """The rates in force on `day`."""
    return load_day_facts(day).charge_rates(exchange, kind)


NSE_OPTION = rates_of(Exchange.NSE, Kind.OPTION)
NSE_EQUITY = rates_of(Exchange.NSE, Kind.EQUITY)


def order_charges(rates: ChargeRates, side: Side, *fills_paise: int) -> Charges:
    """The charges of one order that fills in these values."""
    total, before = Charges(), 0
    for number, value_paise in enumerate(fills_paise):
        total += fill_charges(
            rates,
            side,
            value_paise=value_paise,
            order_value_before_paise=before,
            first_fill=number == 0,
        )
        before += value_paise
    return total


def trade(rates: ChargeRates, quantity: int, bought_paise: int, sold_paise: int) -> dict[str, int]:
    """The statement of a purchase and a sale of one fill each."""
    purchase = order_charges(rates, Side.BUY, quantity * bought_paise)
    return statement(purchase + order_charges(rates, Side.SELL, quantity * sold_paise))


# name, exchange, kind, day, quantity, bought, sold,
#   (brokerage, STT, transaction, IPFT, SEBI, stamp, GST), total, net; all in paise.
EXAMPLES: list[tuple[Any, ...]] = [
    # Sold 11,700, turnover 21,450. STT 0.15 % of 11,700 = 17.55 -> 18; fee 0.03503 % of 21,450 =
    # 7.5139; IPFT 0.0005 % = 0.10725; SEBI 0.0001 % = 0.02145; stamp 0.003 % of 9,750 = 0.29 -> 0;
    # GST 18 % of (40 + 7.5139 + 0.10725 + 0.02145) = 8.5757.
    ("E1", Exchange.NSE, Kind.OPTION, APRIL, 65, 150_00, 180_00,
     (40_00, 18_00, 7_51, 11, 2, 0, 8_58), 74_22, 1_875_78),
    # STT 0.1 % of 11,700 = 11.70 -> 12: six rupees less than a day later.
    ("E1, 31 March", Exchange.NSE, Kind.OPTION, MARCH, 65, 150_00, 180_00,
     (40_00, 12_00, 7_51, 11, 2, 0, 8_58), 68_22, 1_881_78),
    # STT 0.0625 % = 7.3125 -> 7; fee 0.0495 % of 21,450 = 10.61775; GST 18 % of 50.74645 = 9.13436.
    ("E1, 30 September 2024", Exchange.NSE, Kind.OPTION, dt.date(2024, 9, 30), 65, 150_00, 180_00,
     (40_00, 7_00, 10_62, 11, 2, 0, 9_13), 66_88, 1_883_12),
    # Sold 5,200: STT 7.80 -> 8; turnover 11,200: fee 0.0325 % = 3.64; SEBI 0.0112; stamp 0.003 % of
    # 6,000 = 0.18 -> 0; GST 18 % of 43.6512 = 7.8572. BSE has no IPFT.
    ("E2", Exchange.BSE, Kind.OPTION, APRIL, 20, 300_00, 260_00,
     (40_00, 8_00, 3_64, 0, 1, 0, 7_86), 59_51, -859_51),
    # STT 0.1 % of 5,200 = 5.20 -> 5.
    ("E2, 31 March", Exchange.BSE, Kind.OPTION, MARCH, 20, 300_00, 260_00,
     (40_00, 5_00, 3_64, 0, 1, 0, 7_86), 56_51, -856_51),
    # STT 0.05 % of 16,31,500 = 815.75 -> 816; turnover 32,56,500: fee 0.00173 % = 56.337; IPFT and
    # SEBI 3.2565 each; stamp 0.002 % of 16,25,000 = 32.50 -> 33; brokerage min(20, 487) twice;
    # GST 18 % of 102.850 = 18.513.
    ("E3", Exchange.NSE, Kind.FUTURE, APRIL, 65, 25_000_00, 25_100_00,
     (40_00, 816_00, 56_34, 3_26, 3_26, 33_00, 18_51), 970_37, 5_529_63),
    # STT 0.05 % of 16,42,000 = 821; no fee; SEBI 0.0001 % of 32,82,000 = 3.282; stamp 0.002 % of
    # 16,40,000 = 32.80 -> 33; GST 18 % of 43.282 = 7.79076.
    ("E4", Exchange.BSE, Kind.FUTURE, APRIL, 20, 82_000_00, 82_100_00,
     (40_00, 821_00, 0, 0, 3_28, 33_00, 7_79), 905_07, 1_094_93),
    # STT 0.025 % of 1,51,500 = 37.875 -> 38; turnover 3,01,500: fee 0.00297 % = 8.95455; IPFT and
    # SEBI 0.3015; stamp 0.003 % of 1,50,000 = 4.50 -> 5; brokerage min(20, 45); GST 8.9203.
    ("E5", Exchange.NSE, Kind.EQUITY, APRIL, 100, 1_500_00, 1_515_00,
     (40_00, 38_00, 8_95, 30, 30, 5_00, 8_92), 101_47, 1_398_53),
    # A short leg: sold 9,750, STT 14.625 -> 15; turnover 17,550: fee 6.1478; IPFT 0.08775; SEBI
    # 0.01755; stamp 0.003 % of 7,800 = 0.234 -> 0; GST 18 % of 46.25310 = 8.3256.
    ("E7", Exchange.NSE, Kind.OPTION, APRIL, 65, 120_00, 150_00,
     (40_00, 15_00, 6_15, 9, 2, 0, 8_33), 69_59, 1_880_41),
    # STT 0.1 % of 9,750 = 9.75 -> 10.
    ("E7, 31 March", Exchange.NSE, Kind.OPTION, MARCH, 65, 120_00, 150_00,
     (40_00, 10_00, 6_15, 9, 2, 0, 8_33), 64_59, 1_885_41),
    # Sold 61,200: STT 91.80 -> 92; turnover 1,21,200: fee 42.45636; IPFT 0.606; SEBI 0.1212; stamp
    # 0.003 % of 60,000 = 1.80 -> 2; GST 18 % of 83.18356 = 14.97304.
    ("E8", Exchange.NSE, Kind.OPTION, APRIL, 600, 100_00, 102_00,
     (40_00, 92_00, 42_46, 61, 12, 2_00, 14_97), 192_16, 1_007_84),
]  # fmt: skip


@pytest.mark.parametrize("row", EXAMPLES, ids=[row[0] for row in EXAMPLES])
def test_the_worked_examples(row: tuple[Any, ...]) -> None:
    """Every component, the total and the net of a trade, by the rates of its date."""
    _, exchange, kind, day, quantity, bought, sold, components, total, net = row
    lines = trade(rates_of(exchange, kind, day), quantity, bought, sold)
    assert lines == dict(zip(COMPONENTS, components, strict=True)) | {"total": total}
    assert quantity * (sold - bought) - lines["total"] == net


def test_what_a_broker_charged(shared_data: Path) -> None:
    """Twenty option trades of December 2024 with the charges that Dhan reported, in rupees.

    Brokerage, exchange fee, SEBI fee and GST of eighteen agree to two hundredths of a paisa, the
    STT of their sales to the paisa. In the other two the reported figures belong to another value
    than price times quantity (fee / rate); stamp duty is reported by day, on the sales.
    """
    path = shared_data / "06_feed_frames" / "dhan_rest_recorded_vcr.jsonl.gz"
    with gzip.open(path, "rt") as lines:
        (answer,) = (a for a in map(json.loads, lines) if a["cassette"] == "models/trade.yml")
    body = answer["body"]
    trades = json.loads(body) if isinstance(body, str) else body
    assert len(trades) == 20
    differing = set()
    for row in trades:
        rates = rates_of(Exchange.NSE, Kind.OPTION, dt.date.fromisoformat(row["exchangeTime"][:10]))
        value_paise = row["tradedQuantity"] * round(row["tradedPrice"] * 100)
        ours = order_charges(rates, Side(row["transactionType"]), value_paise)
        exact = (
            (ours.brokerage_e4, row["brokerageCharges"]),
            (ours.transaction_e4, row["exchangeTransactionCharges"]),
            (ours.sebi_e4, row["sebiTax"]),
            (ours.gst_e4, row["serviceTax"]),
        )
        agrees = all(abs(mine - round(theirs * 1_000_000)) <= 200 for mine, theirs in exact)
        stt_agrees = abs(ours.stt_e4 - round(row["stt"] * 1_000_000)) <= 10_000
        if not (agrees and stt_agrees):
            differing.add((row["customSymbol"], row["tradedQuantity"], row["tradedPrice"]))
    assert differing == {
        ("FINNIFTY 31 DEC 23500 PUT", 100, 70.0),
        ("MIDCPNIFTY 30 DEC 12900 CALL", 250, 21.0),
    }


@pytest.mark.parametrize(
    "fills",
    [
        (9_750_00,),
        (1, 9_749_99),
        (5_00, 9_740_00, 5_00),
        (1_950_00,) * 5,
    ],
    ids=str,
)
def test_a_flat_brokerage_is_charged_once_an_order(fills: tuple[int, ...]) -> None:
    """However many fills an order has, it costs 20 rupees of brokerage, all with the first."""
    assert order_charges(NSE_OPTION, Side.BUY, *fills).brokerage_e4 == 20_00 * 10_000
    first = order_charges(NSE_OPTION, Side.BUY, fills[0])
    assert first.brokerage_e4 == 20_00 * 10_000


@pytest.mark.parametrize(
    ("fills", "expected"),
    [
        # 0.03 % of 30,000 = 9.00: under the cap in one fill or in three.
        ((30_000_00,), (9_00_0000,)),
        ((10_000_00, 10_000_00, 10_000_00), (3_00_0000, 3_00_0000, 3_00_0000)),
        # 0.03 % of 60,000 = 18.00, of 90,000 = 27.00, capped: the second bears 2.00, the third 0.
        ((60_000_00, 30_000_00, 30_000_00), (18_00_0000, 2_00_0000, 0)),
        # 0.03 % of 1 paisa = 0.0003 paisa = 3; of 2 paise 6.
        ((1, 1), (3, 3)),
    ],
)
def test_a_fill_bears_what_it_adds_to_the_orders_brokerage(
    fills: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    """The smaller of 20 and 0.03 % of the order, never of each fill."""
    starts = itertools.accumulate(fills, initial=0)
    borne = tuple(
        fill_charges(
            NSE_EQUITY,
            Side.BUY,
            value_paise=value_paise,
            order_value_before_paise=before,
            first_fill=before == 0,
        ).brokerage_e4
        for before, value_paise in zip(starts, fills, strict=False)
    )
    assert borne == expected


def test_each_component_is_rounded_half_up_to_the_ten_thousandth_of_a_paisa() -> None:
    """0.00005 paisa and above goes up, below goes down, per fill and per component."""
    cheap = msgspec.structs.replace(NSE_OPTION, transaction_e7=1, ipft_e7=0, sebi_e7=0, gst_e7=0)
    # Value x 1e-7: 499 paise give 0.499 of the unit, 500 give 0.5, 1,500 give 1.5.
    for value_paise, units in ((499, 0), (500, 1), (1_499, 1), (1_500, 2)):
        assert order_charges(cheap, Side.BUY, value_paise).transaction_e4 == units


def test_tax_falls_on_one_side_each() -> None:
    """STT on the sale, stamp duty on the purchase, for a long and for a short alike."""
    bought = order_charges(NSE_OPTION, Side.BUY, 10_000_00)
    sold = order_charges(NSE_OPTION, Side.SELL, 10_000_00)
    assert (bought.stt_e4, sold.stamp_e4) == (0, 0)
    assert (sold.stt_e4, bought.stamp_e4) == (15_00 * 10_000, 30 * 10_000)
    assert bought.transaction_e4 == sold.transaction_e4


@pytest.mark.parametrize(
    ("amount_e4", "to_the_paisa", "to_the_rupee"),
    [
        (0, 0, 0),
        (4_999, 0, 0),
        (5_000, 1, 0),
        (499_999, 50, 0),
        (500_000, 50, 100),
        (1_499_999, 150, 100),
        (1_500_000, 150, 200),
    ],
)
def test_a_statement_rounds_taxes_to_the_rupee_and_the_rest_to_the_paisa(
    amount_e4: int, to_the_paisa: int, to_the_rupee: int
) -> None:
    """Half up, each component on its own; the total is the sum of what is shown."""
    lines = statement(Charges(**{f"{name}_e4": amount_e4 for name in COMPONENTS}))
    for name in COMPONENTS:
        assert lines[name] == (to_the_rupee if name in {"stt", "stamp"} else to_the_paisa)
    assert lines["total"] == 5 * to_the_paisa + 2 * to_the_rupee


def test_charges_add_component_by_component() -> None:
    """Nothing is rounded before a statement, and nothing changes the sum."""
    one = Charges(**{f"{name}_e4": n for n, name in enumerate(COMPONENTS, start=1)})
    two = Charges(**{f"{name}_e4": 10 * n for n, name in enumerate(COMPONENTS, start=1)})
    assert msgspec.structs.astuple(one + two) == (11, 22, 33, 44, 55, 66, 77)
    assert one + Charges() == one
    assert (one + two).total_e4 == one.total_e4 + two.total_e4 == 308


@pytest.mark.parametrize(("total_e4", "paise"), [(0, 0), (4_999, 0), (5_000, 1), (15_000, 2)])
def test_a_running_total_is_rounded_half_up(total_e4: int, paise: int) -> None:
    """What a page shows of a position that is still open."""
    assert Charges(gst_e4=total_e4).total_paise == paise


@pytest.mark.parametrize("side", list(Side))
def test_the_estimate_of_closing_is_never_too_low(side: Side) -> None:
    """One order for all of it, rounded up: at most a paisa more than the exact figure."""
    for value_paise in (5, 9_750_00, 123_456_78):
        exact_e4 = order_charges(NSE_OPTION, side, value_paise).total_e4
        estimate = closing_charges_paise(NSE_OPTION, side, value_paise)
        assert 0 <= estimate * 10_000 - exact_e4 < 10_000


@pytest.mark.parametrize(("value", "before"), [(-1, 0), (1, -1)])
def test_a_fill_is_worth_something(value: int, before: int) -> None:
    """A negative value is a programmer's error."""
    with pytest.raises(AssertionError):
        fill_charges(
            NSE_OPTION,
            Side.BUY,
            value_paise=value,
            order_value_before_paise=before,
            first_fill=before == 0,
        )


MONEY = ("_paise", "_e4", "_e7", "_bps", "quantity", "_ns")


def _money_types() -> dict[str, object]:
    """The type of every field that holds money, a ratio, a quantity or a time, by its name."""
    names = (f"{domain.__name__}.{m.name}" for m in pkgutil.iter_modules(domain.__path__))
    modules = [*map(importlib.import_module, names), charges, postings]
    structs = {
        item
        for module in modules
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, msgspec.Struct)
    }
    return {
        f"{struct.__name__}.{field.name}": field.type
        for struct in structs
        for field in msgspec.structs.fields(struct)
        if field.name.endswith(MONEY)
    }


@pytest.mark.proves("B-13")
def test_no_money_is_a_float() -> None:
    """Every field of money, ratio, quantity or time in the values and the books is a whole number.

    And what claims to be one is checked: neither a constructor nor a decoder takes a float.
    """
    types = _money_types()
    assert len(types) >= 90
    whole = {int, int | None, tuple[int, ...]}
    assert {name: kind for name, kind in types.items() if kind not in whole} == {}
    with pytest.raises(AssertionError):
        Charges(stt_e4=17.55)  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        Charges(gst_e4=-1)
    with pytest.raises(msgspec.ValidationError, match="Expected `int`, got `float`"):
        msgspec.json.decode(b'{"stt_e4": 17.55}', type=Charges)
    assert type(trade(NSE_OPTION, 65, 150_00, 180_00)["total"]) is int
