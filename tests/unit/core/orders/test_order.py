"""One order as the fold of what was asked and said of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from holdfast.core.orders.order import GIVE_UP_AFTER_NS, MODIFICATIONS_MAX, QUESTION_NS, Fill, Order
from holdfast.domain.event import Action, Outcome
from holdfast.domain.instrument import Product
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderState,
    OrderTerms,
    OrderType,
    Purpose,
    Refusal,
    Side,
)
from tests.support.desk import CALL

S = OrderState
STOP = OrderTerms(
    instrument=CALL.id,
    product=Product.INTRADAY,
    side=Side.SELL,
    order_type=OrderType.STOP_LIMIT,
    quantity=195,
    limit_paise=7_920,
    trigger_paise=8_800,
)
LIMIT = replace(STOP, order_type=OrderType.LIMIT, limit_paise=8_790, trigger_paise=None)
TRIGGERED = replace(LIMIT, limit_paise=STOP.limit_paise)

ASKED_AT = 30
"""When the tests ask for something; what they hear is told at 40 unless they say otherwise."""

ENDS = (BrokerStatus.REJECTED, BrokerStatus.CANCELLED, BrokerStatus.EXPIRED)


def sent(terms: OrderTerms = STOP) -> Order:
    """An order that has just left."""
    order = Order(OrderId("x-S0001-1-0"), Purpose.STOP, 1, terms)
    order.ask(Action.PLACE, terms, 10)
    return order


def working(terms: OrderTerms = STOP) -> Order:
    """An order whose row was seen."""
    order = sent(terms)
    order.acknowledge(BrokerOrderId("B1"))
    hear(order, terms=terms, venue=20)
    return order


def asking(action: Action) -> Order:
    """The same with a request in flight: to become a limit order, or to end."""
    order = working()
    order.ask(action, LIMIT if action is Action.MODIFY else STOP, ASKED_AT)
    return order


def hear(  # noqa: PLR0913 the fields of a row, with defaults
    order: Order,
    status: BrokerStatus = BrokerStatus.WORKING,
    *,
    terms: OrderTerms = STOP,
    filled: int = 0,
    venue: int = 40,
    at: int = 40,
    is_read: bool = False,
) -> Fill | None:
    """The broker's word; what filled did so at a rupee each."""
    row = OrderRow(
        order_id=order.id,
        broker_id=BrokerOrderId("B1"),
        status=status,
        terms=terms,
        filled_quantity=filled,
        filled_value_paise=filled * 100,
        venue_at_ns=venue,
    )
    return order.fold_row(row, is_read=is_read, at_ns=at)


def test_the_limits_are_those_of_the_rules() -> None:
    """Given up after 4 s (T2), in question for 5 s (T15), 25 modifications (dhan.md 2)."""
    second_ns = 1_000_000_000
    assert 4 * second_ns == GIVE_UP_AFTER_NS
    assert 5 * second_ns == QUESTION_NS
    assert MODIFICATIONS_MAX == 25


def test_a_planned_order_has_asked_and_heard_nothing() -> None:
    """It knows its reason and its terms; everything else begins at nothing."""
    order = Order(OrderId("x-S0001-1-0"), Purpose.STOP, 1, STOP)
    assert {name: getattr(order, name) for name in Order.__slots__} == {
        "id": "x-S0001-1-0",
        "name": "x-S0001-1-0",
        "purpose": Purpose.STOP,
        "position": 1,
        "terms": STOP,
        "standing": STOP,
        "trigger_paise": 8_800,
        "seen": None,
        "state": S.PLANNED,
        "status": None,
        "broker_id": None,
        "filled_quantity": 0,
        "filled_value_paise": 0,
        "corrected_paise": 0,
        "modifications": 0,
        "asked": None,
        "asked_at_ns": 0,
        "asked_first_ns": 0,
        "asked_times": 0,
        "held_until_ns": 0,
        "refused_at_ns": None,
        "sent_at_ns": 0,
        "venue_at_ns": 0,
        "reason": "",
        "alarm": False,
        "in_question": False,
        "may_have_ended": False,
        "was_denied": False,
        "was_changed": False,
        "most_quantity": 195,
        "unseen": 0,
        "own_terms": [],
        "must_replace": False,
        "is_ordinary": False,
        "refusal": None,
        "has_rested": False,
        "trail_moves": 0,
        "trail_moved_at_ns": 0,
    }
    order.ask(Action.PLACE, STOP, 10)
    assert (order.sent_at_ns, order.asked_at_ns, order.modifications) == (10, 10, 0)
    order.acknowledge(BrokerOrderId("B1"))
    order.ask(Action.MODIFY, LIMIT, ASKED_AT)
    assert (order.sent_at_ns, order.asked_at_ns, order.modifications) == (10, ASKED_AT, 1)


def test_an_answer_makes_it_working_but_only_a_row_is_seen() -> None:
    """The acknowledgement gives the number; evidence is the row."""
    order = sent()
    order.acknowledge(BrokerOrderId("B1"))
    assert (order.state, order.broker_id, order.seen, order.asked) == (S.WORKING, "B1", None, None)
    hear(order)
    assert (order.seen, order.status) == (STOP, BrokerStatus.WORKING)


def test_what_it_could_still_fill_is_open() -> None:
    """Its newest terms less its fills, until it ends."""
    order = working()
    assert (order.is_live, order.open_quantity) == (True, 195)
    hear(order, filled=65)
    order.ask(Action.MODIFY, replace(STOP, quantity=260), ASKED_AT)
    assert order.open_quantity == 195
    hear(order, BrokerStatus.CANCELLED, filled=65, is_read=True)
    assert (order.is_live, order.open_quantity) == (False, 0)


# -- modifications


def test_a_modification_is_done_when_a_row_shows_it() -> None:
    """An older row does not end it; the new terms do."""
    order = asking(Action.MODIFY)
    hear(order)
    assert (order.state, order.asked, order.terms) == (S.MODIFYING, Action.MODIFY, LIMIT)
    assert not order.was_denied
    hear(order, terms=LIMIT)
    assert (order.state, order.asked, order.seen) == (S.WORKING, None, LIMIT)


def test_a_stop_that_triggers_while_it_is_moved_is_settled() -> None:
    """The exchange released it before our new trigger came; there is nothing to wait for."""
    order = working()
    order.ask(Action.MODIFY, replace(STOP, trigger_paise=9_000, limit_paise=8_100), ASKED_AT)
    hear(order, BrokerStatus.TRIGGERED, terms=TRIGGERED)
    assert (order.state, order.terms, order.trigger_paise) == (S.WORKING, TRIGGERED, 8_800)


def test_a_trigger_is_no_answer_to_an_exit() -> None:
    """It became a limit order by itself, but not at our price: still asked."""
    order = asking(Action.MODIFY)
    hear(order, BrokerStatus.TRIGGERED, terms=TRIGGERED)
    assert (order.state, order.terms) == (S.MODIFYING, LIMIT)


@pytest.mark.parametrize("action", [Action.MODIFY, Action.CANCEL])
@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.NOT_SENT])
def test_a_refused_request_brings_the_old_terms_back(action: Action, outcome: Outcome) -> None:
    """What stands at the broker is what stood before, and it rests."""
    order = asking(action)
    order.fail(action, outcome, Refusal.OTHER, at_ns=40)
    assert (order.state, order.asked, order.terms) == (S.WORKING, None, STOP)


def test_a_refusal_of_something_else_does_not_end_what_is_in_flight() -> None:
    """The late no to a modification leaves the cancel that followed it."""
    order = asking(Action.MODIFY)
    order.ask(Action.CANCEL, order.terms, 35)
    order.fail(Action.MODIFY, Outcome.REFUSED, Refusal.OTHER, at_ns=40)
    assert (order.state, order.asked) == (S.CANCELLING, Action.CANCEL)


@pytest.mark.parametrize("action", [Action.MODIFY, Action.CANCEL])
def test_not_modifiable_is_a_question_about_the_order(action: Action) -> None:
    """It may have traded or ended: the row decides, and nothing is asked until it does (T13)."""
    order = asking(action)
    order.fail(action, Outcome.REFUSED, Refusal.NOT_MODIFIABLE, at_ns=40)
    assert (order.state, order.asked, order.is_settled) == (S.UNKNOWN, None, False)
    hear(order, is_read=True)
    assert (order.state, order.was_denied) == (S.WORKING, False)


def test_an_unanswered_modification_keeps_its_values_for_the_repeat() -> None:
    """The first asking is remembered over repeats of the same values, not over new ones."""
    order = asking(Action.MODIFY)
    order.fail(Action.MODIFY, Outcome.UNANSWERED, at_ns=40)
    assert (order.state, order.terms, order.in_question) == (S.UNKNOWN, LIMIT, False)
    order.ask(Action.MODIFY, LIMIT, 40)
    assert (order.asked_first_ns, order.asked_at_ns, order.asked_times) == (ASKED_AT, 40, 2)
    order.ask(Action.MODIFY, replace(LIMIT, limit_paise=8_700), 50)
    assert (order.asked_first_ns, order.asked_times, order.modifications) == (50, 1, 3)
    order.ask(Action.CANCEL, order.terms, 60)
    assert (order.asked_first_ns, order.asked_times, order.modifications) == (60, 1, 3)


def test_a_row_that_does_not_show_an_unanswered_modification_leaves_it_asked() -> None:
    """It may still be on its way: it stays unknown, and is repeated."""
    order = asking(Action.MODIFY)
    order.fail(Action.MODIFY, Outcome.UNANSWERED, at_ns=40)
    hear(order, is_read=True)
    assert (order.state, order.asked, order.was_denied) == (S.UNKNOWN, Action.MODIFY, False)


@pytest.mark.parametrize(
    ("waited_ns", "is_read", "denied"),
    [
        (GIVE_UP_AFTER_NS - 1, True, False),
        (GIVE_UP_AFTER_NS, True, True),
        (GIVE_UP_AFTER_NS, False, False),
    ],
)
def test_a_modification_unseen_for_four_seconds_was_not_made(
    *, waited_ns: int, is_read: bool, denied: bool
) -> None:
    """When a row read then shows the old terms; the stream's word may be an old one (T2)."""
    order = asking(Action.MODIFY)
    hear(order, at=ASKED_AT + waited_ns, is_read=is_read)
    assert order.was_denied is denied
    assert order.state is (S.WORKING if denied else S.MODIFYING)
    assert order.terms == (STOP if denied else LIMIT)


# -- end words


@pytest.mark.proves("T15")
@pytest.mark.parametrize("action", [Action.MODIFY, Action.CANCEL])
@pytest.mark.parametrize("word", ENDS)
def test_an_end_word_while_a_request_is_in_flight_is_a_question(
    action: Action, word: BrokerStatus
) -> None:
    """The stream's word alone ends nothing; the row that was read does (T15)."""
    order = asking(action)
    hear(order, word)
    assert (order.state, order.in_question, order.seen) == (S.UNKNOWN, True, STOP)
    assert order.status is BrokerStatus.WORKING
    hear(order, word, is_read=True)
    assert (order.state.is_terminal, order.asked, order.in_question) == (True, None, False)


def test_the_row_may_answer_that_the_modification_was_what_died() -> None:
    """Read after the word, it rests with its old terms: a refusal, and the order lives (T15)."""
    order = asking(Action.MODIFY)
    hear(order, BrokerStatus.REJECTED)
    hear(order)
    assert order.state is S.UNKNOWN, "the stream's word may be older than the question"
    hear(order, is_read=True)
    assert (order.state, order.was_denied, order.terms) == (S.WORKING, True, STOP)
    hear(order, BrokerStatus.REJECTED, venue=50, at=50)
    assert order.state is S.UNKNOWN, "the word repeated is not the order's end either"


@pytest.mark.parametrize(
    ("waited_ns", "state"), [(QUESTION_NS - 1, S.UNKNOWN), (QUESTION_NS, S.REJECTED)]
)
def test_an_end_word_soon_after_a_refusal_may_mean_the_refusal(
    waited_ns: int, state: OrderState
) -> None:
    """The broker may say no twice: in its answer and on the stream."""
    order = asking(Action.MODIFY)
    order.fail(Action.MODIFY, Outcome.REFUSED, Refusal.OTHER, at_ns=40)
    hear(order, BrokerStatus.REJECTED, at=40 + waited_ns)
    assert order.state is state


@pytest.mark.parametrize("word", ENDS)
def test_an_end_word_about_an_order_at_rest_is_its_end(word: BrokerStatus) -> None:
    """Nothing of ours was in flight: in the same step it is over (T1)."""
    order = working()
    hear(order, word)
    assert order.state.is_terminal


@pytest.mark.parametrize(
    ("filled", "venue", "state"),
    [(0, 20, S.UNKNOWN), (0, 21, S.CANCELLED), (65, 20, S.CANCELLED)],
)
def test_an_end_word_that_tells_nothing_new_is_a_question(
    filled: int, venue: int, state: OrderState
) -> None:
    """Not later than what was heard, and no fill: a word delivered late or twice ends nothing."""
    order = working()
    hear(order, BrokerStatus.CANCELLED, filled=filled, venue=venue)
    assert order.state is state


@pytest.mark.parametrize("word", [BrokerStatus.UNKNOWN, BrokerStatus.FILLED])
def test_a_word_without_its_quantities_is_no_end(word: BrokerStatus) -> None:
    """An unknown status, and "filled" without the fills, are asked about, never guessed."""
    order = working()
    hear(order, word, filled=130)
    assert (order.state, order.filled_quantity) == (S.UNKNOWN, 130)


# -- words out of order


def test_an_open_word_from_before_tells_only_its_fills() -> None:
    """The terms that were seen last stand; contracts count whenever they are heard of."""
    order = asking(Action.MODIFY)
    hear(order, terms=LIMIT, venue=50)
    assert hear(order, terms=STOP, filled=65, venue=45) == Fill(65, 6_500)
    assert (order.terms, order.seen, order.state) == (LIMIT, LIMIT, S.WORKING)


def test_a_row_that_was_read_is_believed_whatever_its_stamp() -> None:
    """Stream and book may round their times differently; a question must get an answer."""
    order = asking(Action.CANCEL)
    hear(order, BrokerStatus.CANCELLED, venue=50)
    hear(order, venue=45, is_read=True)
    assert order.state is S.WORKING


def test_an_old_row_brings_no_dead_order_back() -> None:
    """Read before the end, heard after it; a later open word is another matter."""
    order = working()
    hear(order, BrokerStatus.REJECTED, venue=50)
    hear(order, venue=45, is_read=True)
    assert (order.state, order.alarm) == (S.REJECTED, False)
    hear(order, venue=60, is_read=True)
    assert (order.state, order.alarm) == (S.UNKNOWN, True)


def test_the_late_answer_to_a_placement_settles_no_question() -> None:
    """The number is noted; whether the order lives is for the row to say."""
    order = asking(Action.MODIFY)
    hear(order, BrokerStatus.REJECTED)
    order.acknowledge(BrokerOrderId("B1"))
    assert (order.state, order.asked) == (S.UNKNOWN, Action.MODIFY)


@pytest.mark.parametrize("outcome", Outcome)
def test_a_failed_search_says_nothing_about_the_order(outcome: Outcome) -> None:
    """It was sent and stays sent: the placement's own answer is still to come."""
    order = sent()
    order.fail(Action.FIND, outcome, at_ns=40)
    assert (order.state, order.asked) == (S.SENT, Action.PLACE)
    order.fail(Action.PLACE, Outcome.REFUSED, at_ns=40)
    assert (order.state, order.asked) == (S.REJECTED, None)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.REFUSED, S.REJECTED),
        (Outcome.NOT_SENT, S.REJECTED),
        (Outcome.UNANSWERED, S.UNKNOWN),
    ],
)
def test_a_placement_fails_in_three_ways(outcome: Outcome, state: OrderState) -> None:
    """Refused or never left: it does not exist. Unanswered: it may."""
    order = sent()
    order.fail(Action.PLACE, outcome, at_ns=40)
    assert order.state is state


@pytest.mark.parametrize(("outcome", "alarm"), [(Outcome.REFUSED, False), (Outcome.NOT_SENT, True)])
def test_a_second_answer_to_a_placement_is_for_the_row_to_judge(
    outcome: Outcome, *, alarm: bool
) -> None:
    """A late refusal may be; that it never left after it was unanswered cannot."""
    order = sent()
    order.fail(Action.PLACE, Outcome.UNANSWERED, at_ns=40)
    order.fail(Action.PLACE, outcome, at_ns=40)
    assert (order.state, order.alarm) == (S.UNKNOWN, alarm)


def test_the_lost_answer_to_a_placement_that_showed_itself_changes_nothing() -> None:
    """Its row came first: it exists, and what is in flight now is something else."""
    order = asking(Action.MODIFY)
    order.fail(Action.PLACE, Outcome.UNANSWERED, at_ns=40)
    assert (order.state, order.asked) == (S.MODIFYING, Action.MODIFY)


# -- in the book


@pytest.mark.parametrize(
    ("status", "terms", "released"),
    [
        (BrokerStatus.WORKING, STOP, False),
        (BrokerStatus.TRIGGERED, STOP, True),
        (BrokerStatus.WORKING, TRIGGERED, True),
        (BrokerStatus.WORKING, LIMIT, True),
    ],
)
def test_a_stop_is_released_when_a_row_says_so(
    status: BrokerStatus, terms: OrderTerms, *, released: bool
) -> None:
    """By its word or by its type; the trigger that it had is remembered."""
    order = working()
    assert not order.is_released
    hear(order, status, terms=terms)
    assert (order.is_released, order.trigger_paise) == (released, 8_800)


def test_what_was_asked_is_not_yet_in_the_book() -> None:
    """A stop that is being made a limit order still waits for its trigger."""
    assert not asking(Action.MODIFY).is_released
    assert sent(LIMIT).is_released


def test_a_moved_trigger_is_remembered_when_it_was_seen() -> None:
    """Not when it was asked for."""
    order = working()
    moved = replace(STOP, trigger_paise=9_000, limit_paise=8_100)
    order.ask(Action.MODIFY, moved, ASKED_AT)
    assert order.trigger_paise == 8_800
    hear(order, terms=moved)
    hear(order, BrokerStatus.TRIGGERED, terms=TRIGGERED, venue=50)
    assert order.trigger_paise == 9_000


# -- fills


@pytest.mark.proves("OUP-7")
@pytest.mark.proves("T3")
def test_a_no_to_a_repeated_cancel_is_a_question() -> None:
    """The one before, of which nobody told, may have been made: the row decides."""
    order = working()
    order.ask(Action.CANCEL, order.terms, ASKED_AT)
    order.fail(Action.CANCEL, Outcome.UNANSWERED, at_ns=ASKED_AT)
    order.ask(Action.CANCEL, order.terms, ASKED_AT, is_repeat=True)
    order.fail(Action.CANCEL, Outcome.REFUSED, Refusal.OTHER, at_ns=ASKED_AT)
    assert (order.state, order.may_have_ended) == (S.UNKNOWN, True)
    hear(order)
    assert (order.state, order.may_have_ended) == (S.WORKING, False)


def test_a_fill_after_a_cancel_is_real() -> None:
    """The end came first, the money after it: it counts."""
    order = working()
    hear(order, BrokerStatus.CANCELLED, filled=65)
    assert order.state is S.CANCELLED
    assert hear(order, BrokerStatus.CANCELLED, filled=130) == Fill(65, 6_500)


def test_full_at_the_brokers_quantity_is_the_end_whatever_we_asked() -> None:
    """We asked for more; the order filled what it was and is gone."""
    order = working()
    order.ask(Action.MODIFY, replace(STOP, quantity=260), ASKED_AT)
    hear(order, filled=195)
    assert (order.state, order.asked) == (S.FILLED, None)


def test_a_single_contract_is_a_fill() -> None:
    """Nothing is too small to count; told again it is none."""
    order = working()
    assert hear(order, filled=1) == Fill(1, 100)
    assert hear(order, filled=1, venue=41) is None


def test_the_first_fill_makes_it_partly_filled() -> None:
    """It rests all the same, and can be asked for anything."""
    order = working()
    assert hear(order, filled=65) == Fill(65, 6_500)
    assert (order.state, order.is_settled) == (S.PARTLY_FILLED, True)
    order.ask(Action.MODIFY, LIMIT, ASKED_AT)
    order.fail(Action.MODIFY, Outcome.REFUSED, Refusal.OTHER, at_ns=40)
    assert order.state is S.PARTLY_FILLED


@pytest.mark.proves("OUP-7", "I-28", "I-56")
@given(quantities=st.lists(st.integers(0, 194), max_size=12))
def test_cumulative_words_in_any_order_add_up_to_the_largest(quantities: list[int]) -> None:
    """Repeated, reordered, lost: fills sum to the highest quantity told, never more."""
    order = working()
    total = value = 0
    for number, quantity in enumerate(quantities):
        fill = hear(order, filled=quantity, venue=40 + number % 3)
        total += 0 if fill is None else fill.quantity
        value += 0 if fill is None else fill.value_paise
    assert total == order.filled_quantity == max(quantities, default=0)
    assert value == order.filled_value_paise == 100 * total


def test_reasons_are_kept_until_there_is_a_newer_one() -> None:
    """What the broker said last is what a person is told."""
    order = working()
    row = OrderRow(
        order_id=order.id,
        broker_id=BrokerOrderId("B2"),
        status=BrokerStatus.REJECTED,
        terms=STOP,
        filled_quantity=0,
        filled_value_paise=0,
        venue_at_ns=90,
        reason="RMS: no",
    )
    order.fold_row(row, is_read=True, at_ns=90)
    order.fold_row(replace(row, reason="", venue_at_ns=95), is_read=True, at_ns=95)
    assert (order.reason, order.broker_id, order.venue_at_ns) == ("RMS: no", "B2", 95)


def test_the_answers_to_a_dead_process_are_lost() -> None:
    """A placement is still looked for; a change is forgotten, and its row decides."""
    placed = sent()
    placed.lose_answers(99)
    assert (placed.state, placed.asked, placed.refused_at_ns) == (S.UNKNOWN, Action.PLACE, None)
    modifying = sent()
    modifying.acknowledge(BrokerOrderId("B1"))
    modifying.ask(Action.MODIFY, LIMIT, ASKED_AT)
    modifying.lose_answers(99)
    assert (modifying.state, modifying.asked, modifying.terms) == (S.UNKNOWN, None, STOP)
    assert modifying.refused_at_ns == 99
    resting = sent()
    hear(resting)
    resting.lose_answers(99)
    assert (resting.state, resting.refused_at_ns) == (S.WORKING, None)


def test_an_order_that_two_reads_lack_ends_unless_it_was_seen() -> None:
    """Never arrived: rejected. Seen before: a question."""
    missing = sent()
    missing.miss()
    assert (missing.state, missing.asked) == (S.REJECTED, None)
    seen = sent()
    hear(seen)
    seen.miss()
    assert (seen.state, seen.alarm) == (S.UNKNOWN, True)


@pytest.mark.parametrize(("filled", "state"), [(0, S.WORKING), (65, S.PARTLY_FILLED)])
def test_a_change_that_did_not_leave_is_as_if_never_asked(filled: int, state: S) -> None:
    """Terms, count and state are those from before."""
    order = sent()
    hear(order)
    order.filled_quantity = filled
    order.ask(Action.MODIFY, LIMIT, ASKED_AT)
    order.withdraw()
    assert (order.state, order.asked, order.terms, order.modifications) == (state, None, STOP, 0)
    order.ask(Action.CANCEL, STOP, ASKED_AT)
    order.withdraw()
    assert (order.state, order.asked, order.modifications) == (state, None, 0)


# -- what it could fill at worst (T4)


@pytest.mark.proves("T4")
def test_a_cut_counts_only_once_it_is_shown() -> None:
    """Until then, and while its fate is unknown, the order could fill what it had before."""
    order = working()
    smaller = replace(STOP, quantity=65)
    order.ask(Action.MODIFY, smaller, ASKED_AT)
    assert (order.open_quantity, order.could_fill) == (65, 195)
    order.fail(Action.MODIFY, Outcome.UNANSWERED, at_ns=ASKED_AT)
    assert order.could_fill == 195
    hear(order, terms=smaller, is_read=True)
    assert (order.could_fill, order.unseen) == (65, 0)


@pytest.mark.proves("T4")
def test_a_larger_quantity_counts_from_when_it_is_asked_until_a_no() -> None:
    """Refused, it never was; of two in flight one no tells nothing of the other."""
    order = working()
    larger = replace(STOP, quantity=260)
    order.ask(Action.MODIFY, larger, ASKED_AT)
    assert order.could_fill == 260
    order.ask(Action.MODIFY, replace(larger, limit_paise=7_000), ASKED_AT)
    order.fail(Action.MODIFY, Outcome.REFUSED, Refusal.RATE, at_ns=ASKED_AT)
    assert (order.could_fill, order.unseen) == (260, 1)
    order.fail(Action.MODIFY, Outcome.REFUSED, Refusal.RATE, at_ns=ASKED_AT)
    assert (order.could_fill, order.unseen) == (195, 0)


@pytest.mark.proves("T4")
def test_a_trigger_tells_nothing_of_the_modification_on_its_way() -> None:
    """The stop is in the book at its limit; what was asked of it may still come."""
    order = working()
    order.ask(Action.MODIFY, replace(STOP, quantity=260), ASKED_AT)
    released = replace(STOP, order_type=OrderType.LIMIT, trigger_paise=None)
    hear(order, BrokerStatus.TRIGGERED, terms=released)
    assert (order.is_settled, order.could_fill) == (True, 260)
    late = ASKED_AT + GIVE_UP_AFTER_NS
    hear(order, BrokerStatus.TRIGGERED, terms=released, at=late - 1, is_read=True)
    assert order.could_fill == 260
    hear(order, BrokerStatus.TRIGGERED, terms=released, at=late, is_read=True)
    assert order.could_fill == 195


def test_terms_that_nobody_here_asked_for_are_a_strangers() -> None:
    """Seen on a stop at rest; a trigger, a fill and our own older terms are not (T14)."""
    order = working()
    released = replace(STOP, order_type=OrderType.LIMIT, trigger_paise=None)
    shown = (replace(STOP, trigger_paise=8_000), STOP, released)
    found = []
    for terms in shown:
        hear(order, terms=terms)
        found.append(order.was_changed)
    assert found == [True, False, False]


@pytest.mark.parametrize(
    ("word", "filled"),
    [
        (BrokerStatus.FILLED, 195),
        (BrokerStatus.CANCELLED, 0),
        (BrokerStatus.CANCELLED, 65),
        (BrokerStatus.REJECTED, 0),
        (BrokerStatus.EXPIRED, 65),
    ],
)
def test_the_same_end_told_again_moves_nothing(word: BrokerStatus, filled: int) -> None:
    """Only then it is called the same: any other figure, number or text must be folded."""
    order = working()
    row = OrderRow(
        order_id=order.id,
        broker_id=BrokerOrderId("B1"),
        status=word,
        terms=STOP,
        filled_quantity=filled,
        filled_value_paise=filled * 100,
        venue_at_ns=90,
    )
    assert not order.has_ended_as(row)
    order.fold_row(row, is_read=True, at_ns=100)
    assert order.has_ended_as(row)
    before = {name: getattr(order, name) for name in Order.__slots__}
    order.fold_row(row, is_read=True, at_ns=200)
    assert {name: getattr(order, name) for name in Order.__slots__} == before
    others = (
        replace(row, filled_quantity=filled + 65, filled_value_paise=filled * 100 + 6_500),
        replace(row, filled_value_paise=filled * 100 + 5),
        replace(row, venue_at_ns=91),
        replace(row, broker_id=BrokerOrderId("B2")),
        replace(row, status=BrokerStatus.WORKING),
        replace(row, terms=replace(STOP, limit_paise=STOP.limit_paise - 5)),
        replace(row, reason="another"),
    )
    assert [order.has_ended_as(other) for other in others] == [False] * len(others)


def filled_row(order: Order, *, worth: int) -> OrderRow:
    """A word of 65 contracts of it, worth so many paise in all."""
    return OrderRow(
        order_id=order.id,
        broker_id=BrokerOrderId("B1"),
        status=BrokerStatus.WORKING,
        terms=STOP,
        filled_quantity=65,
        filled_value_paise=worth,
        venue_at_ns=40,
    )


@pytest.mark.proves("T30")
def test_only_the_trade_book_corrects_what_known_fills_are_worth() -> None:
    """Contracts are final when they are heard; their price is, once an exact row tells it."""
    order = working()
    row = filled_row(order, worth=6_500)
    assert order.fold_row(row, is_read=False, at_ns=40) == Fill(65, 6_500)
    for value, is_exact, expected in [(6_400, False, 0), (6_530, True, 30), (6_530, True, 0)]:
        told = replace(row, filled_value_paise=value, is_exact=is_exact)
        assert order.fold_row(told, is_read=True, at_ns=40) is None
        assert order.corrected_paise == expected
    assert (order.filled_quantity, order.filled_value_paise) == (65, 6_530)


@pytest.mark.proves("T30")
def test_a_fill_is_never_worth_less_than_nothing() -> None:
    """Mean prices with two digits may tell of more contracts for less; the trade book mends it."""
    order = working()
    row = filled_row(order, worth=520)
    order.fold_row(row, is_read=False, at_ns=40)
    more = replace(row, filled_quantity=130, filled_value_paise=455)
    assert order.fold_row(more, is_read=False, at_ns=40) == Fill(65, 0)
    order.fold_row(replace(more, is_exact=True), is_read=True, at_ns=40)
    assert (order.filled_value_paise, order.corrected_paise) == (455, -65)
