"""The daily loss (T17): marks, the two ways to count a doubtful leg, and when a breach is believed."""

import pytest

from holdfast.core.books.charges import Charges, closing_charges_paise
from holdfast.core.books.positions import Position
from holdfast.core.orders.order import Fill
from holdfast.core.risk import limits
from holdfast.core.settings import LimitSettings
from holdfast.core.state import State
from holdfast.domain.audit import Denied, ExitDecided, Halted
from holdfast.domain.decision import Direction
from holdfast.domain.instrument import Product
from holdfast.domain.order import Side
from tests.support.by_hand import NOW, a_position, held, packet, plan, ready_state
from tests.support.desk import CALL, PUT, RATES, SECOND, Desk, settings

MS = 1_000_000
LIMIT = 100_000
"""A loss of 1,000 rupees; 65 contracts lose it over 15.38 rupees."""


def account(*positions: Position, limit: int = LIMIT) -> State:
    """A state that holds these, with that daily limit."""
    changed = settings(limits=LimitSettings(loss_per_day_paise_max=limit))
    return held(ready_state(changed), *positions)


def to_close(position: Position, price: int) -> int:
    """What closing costs in charges."""
    return closing_charges_paise(RATES, position.closing_side, position.open_quantity * price)


# -- marks


@pytest.mark.proves("PPR-6")
@pytest.mark.parametrize(("side", "sign"), [(Side.BUY, 1), (Side.SELL, -1)])
def test_the_days_net_is_what_was_realised_and_what_is_open_less_charges(
    side: Side, sign: int
) -> None:
    """Long and short: 65 bought (sold) at 100, marked at 101 and 99, every charge taken off."""
    position = a_position(side=side)
    position.charges = Charges(brokerage_e4=30 * 10_000)
    state = account(position)
    state.day.realised_net_paise = 5_000
    for price in (10_100, 9_900):
        limits.mark(state, position, price)
        limits.renew(state, position)
        open_paise = sign * 65 * (price - 10_000)
        expected = 5_000 + open_paise - 30 - to_close(position, price)
        assert limits.net_today_paise(state) == expected


def test_a_position_counts_its_charges_before_it_is_marked() -> None:
    """Filled, not yet quoted: what the fill cost is gone."""
    position = a_position()
    position.charges = Charges(brokerage_e4=2_360 * 10_000)
    state = account(position)
    limits.renew(state, position)
    assert limits.net_today_paise(state) == -2_360
    assert position.close_charges_paise == 0


def test_the_first_mark_counts_the_charges_to_close_at_once() -> None:
    """The first packet after the fill, not the sweep up to a second later."""
    position = a_position()
    state = account(position)
    limits.mark(state, position, 10_000)
    assert limits.net_today_paise(state) == -to_close(position, 10_000) < -2_000


def test_a_mark_moves_the_net_by_what_is_held() -> None:
    """Between two sweeps the charges to close stay what they were; the same price is no move."""
    position = a_position()
    state = account(position)
    limits.mark(state, position, 10_000)
    before = limits.net_today_paise(state)
    for price in (10_000, 10_100, 10_100, 9_900):
        limits.mark(state, position, price)
        assert limits.net_today_paise(state) - before == 65 * (price - 10_000)
        assert position.mark_paise == price


def test_realised_parts_stay_while_the_rest_is_open() -> None:
    """Of 130 half were sold 2 rupees lower: 130 rupees are realised, the rest is marked."""
    position = a_position(quantity=130)
    state = account(position)
    limits.mark(state, position, 10_000)
    position.take_exit(Fill(65, 65 * 9_800), NOW)
    limits.renew(state, position)
    assert limits.net_today_paise(state) == -65 * 200 - to_close(position, 10_000)
    position.take_exit(Fill(65, 65 * 9_800), NOW)
    limits.renew(state, position)
    assert position.close_charges_paise == 0
    assert limits.net_today_paise(state) == -130 * 200


def test_a_position_that_ends_leaves_what_it_was_to_the_days_realised() -> None:
    """Its share goes; others keep theirs; a word about it afterwards does not bring it back."""
    gone, stays = a_position(1), a_position(2)
    state = account(gone, stays)
    limits.mark(state, gone, 9_000)
    limits.mark(state, stays, 10_000)
    for _ in range(2):
        limits.leave(state, gone)
    assert limits.net_today_paise(state) == -to_close(stays, 10_000)
    gone.is_closed = True
    limits.renew(state, gone)
    assert limits.net_today_paise(state) == -to_close(stays, 10_000)


def test_once_a_second_the_charges_follow_the_mark() -> None:
    """No packet is needed for that, and none is pretended: the mark keeps its time."""
    position = a_position()
    state = account(position)
    limits.mark(state, position, 10_000)
    limits.mark(state, position, 20_000)
    state.now_ns += SECOND
    limits.mark_charges(state, position)
    assert limits.net_today_paise(state) == 65 * 10_000 - to_close(position, 20_000)
    assert state.loss.marked_ns == {1: NOW}


@pytest.mark.parametrize(
    ("case", "marked"),
    [
        ("read", 9_095),
        ("read one-sided", 9_900),
        ("read on a dead feed", 9_900),
        ("no read", 9_900),
    ],
)
def test_a_quote_read_outside_the_feed_marks_when_it_is_fresh(case: str, marked: int) -> None:
    """Two-sided and on a live connection, as a packet would; a read that was used is no news."""
    position = a_position()
    state = account(position)
    limits.mark(state, position, 9_900)
    state.now_ns += 10 * SECOND
    if case != "read on a dead feed":
        state.quotes[PUT.id].take(packet(PUT.id, at=state.now_ns, venue=state.now_ns))
    if case != "no read":
        ask = None if case == "read one-sided" else 9_105
        read = packet(last=9_100, bid=9_095, ask=ask, at=state.now_ns)
        state.quote(CALL.id).take_read(read)
    limits.mark_charges(state, position)
    assert position.mark_paise == marked
    used_ns = state.now_ns if case == "read" else NOW
    assert state.loss.marked_ns == {1: used_ns}
    state.now_ns += SECOND
    limits.mark_charges(state, position)
    assert state.loss.marked_ns == {1: used_ns}


def test_a_read_closes_a_short_on_its_ask() -> None:
    """Each side is marked where it could be closed."""
    position = a_position(side=Side.SELL)
    state = account(position)
    state.quote(CALL.id).take_read(packet(at=NOW))
    limits.mark_charges(state, position)
    assert position.mark_paise == 10_005


def test_an_excess_of_a_long_is_marked_at_the_ask_by_a_read() -> None:
    """It would have to be bought back."""
    position = a_position()
    position.take_exit(Fill(130, 130 * 10_000), NOW)
    state = account(position)
    state.quote(CALL.id).take_read(packet(at=NOW))
    limits.mark_charges(state, position)
    assert position.mark_paise == 10_005


# -- what blocks entries


def test_a_fresh_leg_blocks_by_its_closing_side() -> None:
    """As the other figure: 65 contracts at the bid, less the charges there."""
    position = a_position()
    state = account(position)
    state.day.realised_net_paise = -700
    expected = -700 - 65 * 5 - to_close(position, 9_995)
    assert limits.worst_today_paise(state) == expected


@pytest.mark.parametrize("case", ["no bid", "no ask", "old packet", "dead feed"])
def test_a_doubtful_leg_blocks_by_its_stops_limit(case: str) -> None:
    """One-sided or not fresh: 79.20 for a stop at 88, where it may fill at worst."""
    position = a_position()
    state = account(position)
    if case == "no bid":
        state.quote(CALL.id).take(packet(bid=None))
    elif case == "no ask":
        state.quote(CALL.id).take(packet(ask=None))
    else:
        state.now_ns += 5 * SECOND
    if case == "old packet":
        state.quotes[PUT.id].take(packet(PUT.id, at=state.now_ns, venue=state.now_ns))
    expected = -65 * 2_080 - to_close(position, 7_920)
    assert limits.worst_today_paise(state) == expected


def test_a_doubtful_short_blocks_by_its_stops_limit_or_the_upper_band() -> None:
    """With a verified stop at 112 its limit 123.20; without one the band's edge, 140."""
    position = a_position(side=Side.SELL, exits=plan(stop=11_200))
    state = account(position)
    state.now_ns += 5 * SECOND
    position.verified = True
    assert limits.worst_today_paise(state) == -65 * 2_320 - to_close(position, 12_320)
    position.verified = False
    assert limits.worst_today_paise(state) == -65 * 4_000 - to_close(position, 14_000)


@pytest.mark.parametrize(
    ("side", "fresh", "doubtful"), [(Side.BUY, 10_005, 14_000), (Side.SELL, 9_995, 6_000)]
)
def test_an_excess_counts_as_what_is_really_held(side: Side, fresh: int, doubtful: int) -> None:
    """Twice as much was closed as was held: the rest lies on the other side, without any stop."""
    position = a_position(side=side)
    position.take_exit(Fill(130, 130 * 10_000), NOW)
    position.verified = True
    state = account(position)
    bought_or_sold = -side.sign * 65
    for price, silent_s in ((fresh, 0), (doubtful, 60)):
        state.now_ns = NOW + silent_s * SECOND
        expected = bought_or_sold * (price - 10_000) - to_close(position, price)
        assert limits.worst_today_paise(state) == expected
    assert position.closing_side is side


def test_what_is_not_open_blocks_by_what_it_realised() -> None:
    """An entry on its way holds nothing; one that sold out has its loss."""
    waiting, sold = a_position(1, quantity=0), a_position(2)
    sold.take_exit(Fill(65, 65 * 9_000), NOW)
    sold.charges = Charges(brokerage_e4=100 * 10_000)
    state = account(waiting, sold)
    assert limits.worst_today_paise(state) == -65 * 1_000 - 100


@pytest.mark.proves("T17")
def test_a_dead_feed_stops_entries_and_does_not_sell_the_book() -> None:
    """Counted twice: at its last fresh mark nothing is breached, at its stop's limit it is."""
    desk = Desk(limits=LimitSettings(loss_per_day_paise_max=300_000))
    desk.hold()
    desk.at(70).tick()
    desk.forget()
    for tenth in range(701, 1_200):
        desk.at(tenth / 10)
        if tenth % 5 == 0:
            desk.spot()
            desk.tick(PUT)
        if tenth == 1_190:
            desk.parrot.say = Direction.DOWN
    desk.at(120.2).spot()
    assert desk.told(Denied)[-1].denial.gate == "daily_loss"
    assert desk.told(Halted) == []
    assert desk.told(ExitDecided) == []


# -- when a breach is believed


def shows(state: State, position: Position, price: int, after_ms: float) -> bool:
    """A fresh packet marks the position, so long after the beginning; whether it confirms."""
    state.now_ns = NOW + round(after_ms * MS)
    limits.mark(state, position, price)
    return limits.watch_loss(state, is_fresh_packet=True)


def edge(position: Position, limit: int = LIMIT) -> int:
    """The highest price at which the position alone breaches the limit."""
    price = 10_000
    while 65 * (price - 10_000) - to_close(position, 10_000) > -limit:
        price -= 1
    return price


def test_the_limit_itself_is_a_breach_and_a_paisa_less_is_none() -> None:
    """Realised alone here: believed at once, told once."""
    state = account()
    state.day.realised_net_paise = -LIMIT + 1
    shown = [(limits.watch_loss(state, is_fresh_packet=True), state.loss.is_confirmed)]
    state.day.realised_net_paise = -LIMIT
    shown.append((limits.watch_loss(state, is_fresh_packet=False), state.loss.is_confirmed))
    shown.append((limits.watch_loss(state, is_fresh_packet=True), state.loss.is_confirmed))
    assert shown == [(False, False), (True, True), (False, True)]


def test_what_open_positions_realised_counts_as_realised() -> None:
    """Half a position sold at a great loss needs no second packet."""
    position = a_position(quantity=130)
    state = account(position)
    limits.mark(state, position, 10_000)
    position.take_exit(Fill(65, 65 * 8_000), NOW)
    limits.renew(state, position)
    assert limits.watch_loss(state, is_fresh_packet=False) is True


@pytest.mark.proves("T17")
@pytest.mark.parametrize(
    ("after_ms", "is_believed"), [(499.999999, False), (500, True), (501, True)]
)
def test_a_loss_by_marks_needs_two_packets_half_a_second_apart(
    after_ms: float, *, is_believed: bool
) -> None:
    """The first begins the breach, the second confirms it at 500 ms and not before."""
    position = a_position()
    state = account(position)
    limits.mark(state, position, 10_000)
    price = edge(position)
    begun = []
    for shown in (price + 1, price):
        assert shows(state, position, shown, 0) is False
        begun.append(state.loss.since_ns)
    assert begun == [None, NOW]
    assert shows(state, position, price, after_ms) is is_believed


def test_many_packets_inside_half_a_second_are_one() -> None:
    """Also when a sweep comes after them: it shows nothing new."""
    position = a_position()
    state = account(position)
    for after_ms in (0, 100, 200, 499):
        assert shows(state, position, 8_000, after_ms) is False
    state.now_ns = NOW + 900 * MS
    assert limits.watch_loss(state, is_fresh_packet=False) is False
    assert shows(state, position, 8_000, 950) is True


def test_a_breach_that_went_away_begins_anew() -> None:
    """A phantom packet, and half a second later another: two beginnings."""
    position = a_position()
    state = account(position)
    limits.mark(state, position, 10_000)
    shows(state, position, 8_000, 0)
    shows(state, position, 9_900, 100)
    assert state.loss.since_ns is None
    assert shows(state, position, 8_000, 600) is False
    assert shows(state, position, 8_000, 1_100) is True


@pytest.mark.proves("T17")
def test_a_sweep_ends_a_breach_and_begins_none() -> None:
    """It comes without a packet: nothing fresh was shown."""
    position = a_position()
    state = account(position)
    limits.mark(state, position, 8_000)
    assert limits.watch_loss(state, is_fresh_packet=False) is False
    assert state.loss.since_ns is None
    shows(state, position, 8_000, 0)
    state.day.realised_net_paise = 1_000_000
    assert limits.watch_loss(state, is_fresh_packet=False) is False
    assert state.loss.since_ns is None


def test_one_legs_phantom_is_not_confirmed_by_anothers_packets() -> None:
    """The leg itself must show it again; its own packet, half a second later, is believed."""
    phantom, busy = a_position(1), a_position(2, instrument=PUT)
    state = account(phantom, busy)
    limits.mark(state, phantom, 10_000)
    limits.mark(state, busy, 10_000)
    shows(state, phantom, 8_000, 0)
    for after_ms in range(100, 5_000, 100):
        assert shows(state, busy, 9_990, after_ms) is False
    assert shows(state, phantom, 8_000, 5_000) is True


def test_a_leg_that_was_marked_in_the_first_half_second_is_doubted_too() -> None:
    """Until 500 ms it is the beginning, whichever leg speaks."""
    first, second, third = a_position(1), a_position(2, instrument=PUT), a_position(3)
    state = account(first, second, third)
    for position in (first, second, third):
        limits.mark(state, position, 10_000)
    shows(state, first, 8_000, 0)
    shows(state, second, 8_000, 499)
    assert shows(state, third, 9_990, 700) is False
    assert shows(state, second, 8_000, 800) is True


def test_a_small_loss_in_doubt_does_not_delay_a_great_one() -> None:
    """Without the quiet leg's loss the limit is passed all the same."""
    quiet, crash = a_position(1), a_position(2, instrument=PUT)
    state = account(quiet, crash)
    limits.mark(state, quiet, 10_000)
    limits.mark(state, crash, 10_000)
    shows(state, crash, 7_000, 0)
    shows(state, quiet, 9_900, 100)
    assert shows(state, crash, 7_000, 500) is True


def test_a_gain_in_doubt_is_not_taken_for_a_loss() -> None:
    """What a leg gains by a doubtful mark neither adds to the loss nor hides it twice."""
    gains, crash = a_position(1), a_position(2, instrument=PUT)
    state = account(gains, crash)
    limits.mark(state, gains, 10_000)
    limits.mark(state, crash, 10_000)
    shows(state, crash, 7_000, 0)
    shows(state, gains, 10_200, 100)
    assert limits.net_today_paise(state) <= -LIMIT
    assert shows(state, crash, 7_000, 500) is True


def test_a_mark_from_before_the_breach_is_believed() -> None:
    """It stood while nothing was breached."""
    old, new = a_position(1), a_position(2, instrument=PUT)
    state = account(old, new)
    state.now_ns = NOW - SECOND
    limits.mark(state, old, 9_000)
    limits.mark(state, new, 10_000)
    shows(state, new, 9_000, 0)
    assert shows(state, new, 9_000, 500) is True


@pytest.mark.parametrize(("off_paise", "is_believed"), [(0, True), (1, False)])
def test_what_is_believed_reaches_the_limit_to_the_paisa(
    off_paise: int, *, is_believed: bool
) -> None:
    """A mark older than the breach counts in full, a doubtful loss and a doubtful gain do not."""
    old, loses, gains, speaks = (a_position(number) for number in (1, 2, 3, 4))
    state = account(old, loses, gains, speaks)
    state.now_ns = NOW - 1
    limits.mark(state, old, 8_000)
    limits.mark(state, speaks, 10_000)
    shows(state, loses, 9_999, 0)
    shows(state, gains, 10_001, 100)
    assert state.loss.since_ns == NOW
    state.day.realised_net_paise = -LIMIT - state.live_net_paise - 65 + off_paise
    assert state.day.realised_net_paise > -LIMIT
    assert shows(state, speaks, 10_000, 499) is False
    assert shows(state, speaks, 10_000, 999) is is_believed


@pytest.mark.proves("T17")
def test_even_what_is_not_in_doubt_waits_for_half_a_second() -> None:
    """Realised and old marks together pass the limit; the first packets are still one showing."""
    old, speaks = a_position(1), a_position(2, instrument=PUT)
    state = account(old, speaks)
    state.now_ns = NOW - SECOND
    limits.mark(state, old, 9_000)
    limits.mark(state, speaks, 10_000)
    state.day.realised_net_paise = -LIMIT // 2
    assert [shows(state, speaks, 10_000, ms) for ms in (0, 100, 400, 500)] == [
        False,
        False,
        False,
        True,
    ]


def test_a_leg_that_was_never_marked_is_no_loss() -> None:
    """An entry that has just filled has no price yet."""
    fresh, crash = a_position(1), a_position(2, instrument=PUT)
    state = account(fresh, crash)
    shows(state, crash, 7_000, 0)
    assert shows(state, crash, 7_000, 500) is True


# -- in the whole engine


def test_a_lagging_packet_moves_no_mark() -> None:
    """Forty seconds behind, it is not the market: at its last fresh mark nothing is breached."""
    desk = Desk(limits=LimitSettings(loss_per_day_paise_max=150_000))
    desk.hold()
    desk.at(70).tick()
    for tenth in range(800, 890):
        desk.at(tenth / 10).tick(last=91.0, bid=91.0, ask=91.1, venue_age_s=40)
    assert desk.state.live[0].mark_paise == 9_995
    assert desk.told(Halted) == []


def test_the_exit_follows_the_belief_in_the_same_step() -> None:
    """Halted, and every position told to close, by the packet that confirms it."""
    desk = Desk(limits=LimitSettings(loss_per_day_paise_max=150_000))
    desk.hold()
    desk.at(70).tick(last=91.0, bid=91.0, ask=91.1)
    desk.forget()
    step = desk.at(70.5).tick(last=91.0, bid=91.0, ask=91.1)
    assert [type(audit) for audit in step.audits if isinstance(audit, Halted | ExitDecided)] == [
        Halted,
        ExitDecided,
    ]
    [decided] = desk.told(ExitDecided)
    net = desk.state.day.realised_net_paise + desk.state.live_net_paise
    assert decided.exit.rule == "daily_loss"
    assert decided.exit.values == {
        "net_today_paise": net,
        "limit_paise": 150_000,
        "mark_paise": 9_100,
    }


def test_two_products_of_one_contract_are_marked_by_one_quote() -> None:
    """What is netted apart by the broker is priced alike."""
    intraday, margin = a_position(1), a_position(2, product=Product.MARGIN)
    state = account(intraday, margin)
    for position in (intraday, margin):
        limits.mark(state, position, 9_900)
    assert limits.net_today_paise(state) == 2 * (-65 * 100 - to_close(intraday, 9_900))
