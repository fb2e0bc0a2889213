"""The close, the night and expiry: what ends without a fill, what stays, and what is told (T24)."""

import msgspec
import pytest

from holdfast.core.books.charges import exercise_charges
from holdfast.core.books.postings import Account
from holdfast.core.settings import GuardSettings
from holdfast.core.settlement import may_stay
from holdfast.domain.audit import Anomaly, ExitDecided, PositionClosed
from holdfast.domain.command import PlaceOrder
from holdfast.domain.dated import DayFacts, Session
from holdfast.domain.event import FactsLoaded, OperatorRequest, Settled
from holdfast.domain.instrument import Instrument, InstrumentId, Product
from holdfast.domain.order import BrokerStatus, Purpose, Side
from tests.support.by_hand import a_position, ready_state
from tests.support.desk import (
    CALL,
    CLOSE,
    DAY,
    FACTS,
    NIFTY,
    OPEN,
    PUT,
    RATES,
    SECOND,
    SESSION,
    Desk,
    settings,
)

LAST_DAY = msgspec.structs.replace(CALL, expiry=DAY)
LATE_S = (CLOSE - OPEN) // SECOND


def a_desk(*instruments: Instrument, **changes: object) -> Desk:
    """A desk of the last day of the call, a quarter of an hour before the close."""
    desk = Desk(ready=False, **changes)
    desk.load(instruments or (NIFTY, LAST_DAY, PUT))
    desk.at(60).spot()
    return desk


def settle(
    desk: Desk, rupees: float, *, instrument: InstrumentId = CALL.id, source: str = "NSE bhavcopy"
) -> None:
    """The published settlement of one contract."""
    desk.tell(
        Settled(
            at_ns=desk.now,
            instrument=instrument,
            settlement_paise=round(rupees * 100),
            source=source,
        )
    )


def held_to_the_close(side: Side = Side.BUY, **changes: object) -> Desk:
    """A position of the last day that nobody could close; its orders have expired."""
    desk = a_desk(**changes)
    desk.at(LATE_S - 4).spot()
    entry = desk.intend(side, instrument=LAST_DAY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, price=100.0)
    last = desk.last(PlaceOrder)
    desk.acknowledge(last.order_id)
    desk.at(LATE_S + 1)
    desk.row(last.order_id, BrokerStatus.EXPIRED, terms=last.terms)
    return desk


@pytest.mark.proves("T24", "I-34", "I-35")
@pytest.mark.parametrize(
    ("side", "rupees", "gross", "stt"),
    [
        (Side.BUY, 140.0, 195 * 4_000, 4_100),  # 0.15 % of 27,300 rupees is 40.95, to the rupee
        (Side.BUY, 0.0, -195 * 10_000, 0),
        (Side.SELL, 140.0, -195 * 4_000, 0),
        (Side.SELL, 0.0, 195 * 10_000, 0),
    ],
)
def test_a_settlement_ends_a_position_at_its_published_price(
    side: Side, rupees: float, gross: int, stt: int
) -> None:
    """Exercised longs bear the tax on their value; the books stay in balance."""
    desk = held_to_the_close(side)
    before = desk.state.positions[1].charges
    settle(desk, rupees)
    [closed] = desk.told(PositionClosed)
    assert (closed.gross_paise, closed.quantity) == (gross, 195)
    sold = closed.charges["stt"]
    own = exercise_charges(RATES, side, 195 * round(rupees * 100))
    assert desk.state.positions[1].charges == before + own
    assert sold == (stt if side is Side.BUY else 100 * round(before.stt_e4 / 1_000_000))
    assert desk.state.ledger.balance_e4(Account.PREMIUM) == 0
    assert -desk.state.ledger.balance_e4(Account.REALISED) == gross * 10_000
    assert desk.engine.open_positions == 0


@pytest.mark.proves("T24")
def test_a_settlement_told_twice_ends_nothing_twice() -> None:
    """The second finds nothing held."""
    desk = held_to_the_close()
    settle(desk, 140.0)
    settle(desk, 141.0)
    assert len(desk.told(PositionClosed)) == 1


@pytest.mark.proves("T24", "I-35")
@pytest.mark.parametrize(
    ("rupees", "instrument", "source", "fault"),
    [
        (140.0, InstrumentId("NSE_FNO:9"), "NSE", "the contract is not known"),
        (-0.01, CALL.id, "NSE", "it has no price or no source"),
        (140.0, CALL.id, "", "it has no price or no source"),
        (140.0, PUT.id, "NSE", "the contract lives on"),
    ],
)
def test_a_settlement_that_cannot_be_ends_nothing(
    rupees: float, instrument: InstrumentId, source: str, fault: str
) -> None:
    """No price, no source, a contract of next week: an alarm, and the position stays."""
    desk = held_to_the_close()
    settle(desk, rupees, instrument=instrument, source=source)
    assert desk.told(Anomaly)[-1].what == f"a settlement is not believed: {fault}"
    assert desk.engine.open_positions == 1


@pytest.mark.proves("T24")
def test_a_contract_that_still_trades_is_not_settled() -> None:
    """Whoever says so has taken the last traded price for it."""
    desk = a_desk()
    entry = desk.intend(Side.BUY, instrument=LAST_DAY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, price=100.0)
    settle(desk, 140.0)
    assert desk.told(Anomaly)[-1].what == "a settlement is not believed: it still trades today"
    assert desk.engine.open_positions == 1


# -- the close-out


STAYS = [
    # product, side, expires today, overnight allowed, settlement allowed, stays
    (Product.INTRADAY, Side.BUY, False, True, True, False),
    (Product.MARGIN, Side.BUY, False, False, False, False),
    (Product.MARGIN, Side.BUY, False, True, False, True),
    (Product.MARGIN, Side.SELL, False, True, False, True),
    (Product.MARGIN, Side.BUY, True, True, False, False),
    (Product.MARGIN, Side.BUY, True, False, True, True),
    (Product.MARGIN, Side.SELL, True, True, True, False),
    (Product.INTRADAY, Side.SELL, True, True, True, False),
]


@pytest.mark.proves("T24", "T8")
@pytest.mark.parametrize(("product", "side", "is_last", "night", "settlement", "stays"), STAYS)
def test_what_the_close_out_leaves_alone(
    product: Product, side: Side, *, is_last: bool, night: bool, settlement: bool, stays: bool
) -> None:
    """By default nothing; never a short on its last day, nor what the broker squares off."""
    guards = GuardSettings(hold_overnight=night, hold_to_settlement=settlement)
    state = ready_state(settings(guards=guards))
    instrument = LAST_DAY if is_last else CALL
    position = a_position(1, side, instrument=instrument, product=product)
    assert may_stay(state, position) is stays


@pytest.mark.proves("T24", "I-34")
def test_a_contract_that_expires_today_is_closed_by_the_close_out() -> None:
    """Whatever its profit: nothing waits for the settlement unless somebody has said so."""
    desk = a_desk()
    desk.hold_by_hand(Side.BUY, instrument=LAST_DAY)
    close_out_s = 6 * 3600
    desk.state.timers.postpone(OPEN + (close_out_s - 3) * SECOND)
    desk.at(close_out_s - 2).tick(LAST_DAY)
    assert desk.told(ExitDecided) == []
    desk.at(close_out_s).tick(LAST_DAY)
    assert [told.exit.rule for told in desk.told(ExitDecided)] == ["close_out"]


# -- the night


@pytest.mark.proves("T24")
def test_what_is_open_at_the_close_is_told_once_with_its_contract() -> None:
    """Overnight without protection, or awaiting its settlement; no rule closes it in the night."""
    desk = held_to_the_close()
    told = [one for one in desk.told(Anomaly) if "expiry" in one.what]
    assert [(one.values["contract"], one.values["held"]) for one in told] == [(CALL.symbol, 195)]
    desk = a_desk(NIFTY, CALL, PUT)
    desk.at(LATE_S - 4).spot()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, price=100.0)
    desk.at(LATE_S + 60)
    desk.ask_operator(OperatorRequest.PAUSE)
    nights = [one for one in desk.told(Anomaly) if one.what == "overnight without protection"]
    assert len(nights) == 1
    alarms = [one for one in desk.told(Anomaly) if one.what == "position unprotected"]
    assert alarms == [], "the gap is unprotected by nature, and told by itself"


def two_windows() -> DayFacts:
    """A day of two sessions, an hour apart."""
    session = Session(
        day=DAY,
        exchange=SESSION.exchange,
        windows=((OPEN, OPEN + 600 * SECOND), (OPEN + 4_200 * SECOND, CLOSE)),
        square_off_ns=SESSION.square_off_ns,
        underlying_ends_ns=SESSION.underlying_ends_ns,
        name="special",
    )
    return msgspec.structs.replace(FACTS, sessions=(session,))


@pytest.mark.proves("T24")
def test_a_stop_is_placed_in_the_first_second_of_trading() -> None:
    """It ended with the first session; the gap closes nothing, the opening brings the next one."""
    desk = a_desk(NIFTY, CALL, PUT)
    desk.tell(FactsLoaded(at_ns=desk.now, sha256="g", facts=two_windows()))
    stop = desk.hold_by_hand(Side.BUY)
    desk.at(601)
    desk.row(stop.order_id, BrokerStatus.EXPIRED, terms=stop.terms)
    desk.forget()
    desk.at(4_199)
    assert (desk.all(PlaceOrder), desk.told(ExitDecided)) == ([], [])
    desk.at(4_200)
    [placed] = desk.all(PlaceOrder)
    assert (placed.purpose, placed.terms.trigger_paise) == (Purpose.STOP, 8_800)


@pytest.mark.proves("T24")
def test_an_opening_beyond_the_stop_closes_at_once() -> None:
    """The first trade of the second session lies behind the level: out, whatever became of the stop."""
    desk = a_desk(NIFTY, CALL, PUT)
    desk.tell(FactsLoaded(at_ns=desk.now, sha256="g", facts=two_windows()))
    stop = desk.hold_by_hand(Side.BUY)
    desk.at(601)
    desk.row(stop.order_id, BrokerStatus.EXPIRED, terms=stop.terms)
    desk.at(4_200).tick(last=80.0, bid=79.9, ask=80.1)
    desk.at(4_201).tick(last=80.0, bid=79.9, ask=80.1)
    assert [told.exit.rule for told in desk.told(ExitDecided)] == ["stop_loss"]
