"""What is held: each kind of difference, its one remedy, and what only a person can lift."""

import pytest
from msgspec.structs import replace

from holdfast.core.drift import open_drifts
from holdfast.core.entries.gates import drift as drift_gate
from holdfast.core.readiness import first_failing
from holdfast.domain.audit import Anomaly, Drift, DriftAcknowledged, DriftEnded, DriftKind
from holdfast.domain.book import ForeignRow
from holdfast.domain.command import CancelOrder, ModifyOrder, Notify, PlaceOrder, ReadBook, Severity
from holdfast.domain.decision import Denial
from holdfast.domain.event import BOOK, ReadFailed
from holdfast.domain.instrument import BrokerKey, Instrument, Product
from holdfast.domain.order import BrokerOrderId, BrokerStatus, OrderRow, OrderState, Side
from tests.support.desk import CALL, OPEN, PUT, Desk

KEY = BrokerKey(CALL.id, Product.INTRADAY)


def sold(filled: int = 65, instrument: Instrument = CALL, side: Side = Side.SELL) -> ForeignRow:
    return ForeignRow(
        broker_id=BrokerOrderId("77"),
        instrument=instrument.id,
        product=Product.INTRADAY,
        side=side,
        quantity=filled,
        filled_quantity=filled,
        is_live=False,
    )


class Held:
    """195 contracts with a resting stop, in the session; books agree until told otherwise."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.stop = self.desk.hold()
        self.entry = self.desk.all(PlaceOrder)[0]
        self.see(70)
        self.desk.forget()

    @property
    def rows(self) -> tuple[OrderRow, OrderRow]:
        order = self.desk.state.orders[self.stop.order_id]
        entered = self.desk.book_row(self.entry, BrokerStatus.FILLED, filled=195, venue_ns=OPEN)
        resting = self.desk.book_row(self.stop, terms=order.terms, venue_ns=order.venue_at_ns)
        return entered, resting

    def see(self, second: float) -> None:
        self.desk.at(second).tick()
        self.desk.tick(PUT)
        self.desk.spot()

    def read(self, second: float, net: int, **parts: object) -> None:
        """A stable read that shows this net."""
        self.see(second)
        self.desk.read_book(*self.rows, seconds=second, nets={CALL: net}, **parts)

    def bars(self) -> bool:
        """Whether the underlying is barred by a difference."""
        candidate = self.desk.state, _Candidate(self.desk)
        return isinstance(drift_gate(candidate[0], candidate[1]), Denial)  # type: ignore[arg-type]

    @property
    def kinds(self) -> list[DriftKind]:
        return [one.kind for one in open_drifts(self.desk.state)]

    @property
    def closable(self) -> int:
        return self.desk.state.positions[1].closable_quantity


class _Candidate:
    """As much of a candidate as the gate looks at."""

    def __init__(self, desk: Desk) -> None:
        self.underlying = desk.state.quote(desk.parrot.underlying)


@pytest.mark.proves("PSY-3", "I-104")
@pytest.mark.parametrize(
    ("net", "kind", "closable"),
    [
        (260, DriftKind.LARGER, 195),
        (65, DriftKind.SMALLER, 65),
        (0, DriftKind.GONE, 0),
        (-65, DriftKind.WRONG_SIDE, 0),
    ],
)
def test_sign_and_quantity_decide_and_ours_are_cut_after_ten_seconds(
    net: int, kind: DriftKind, closable: int
) -> None:
    """Unexplained: entries stop at once, closers are cut once stable reads have repeated it."""
    held = Held()
    for second in range(75, 85):
        held.read(second, net)
        assert (held.kinds, held.closable, held.bars()) == ([kind], 195, True)
    held.read(85, net)
    assert (held.kinds, held.closable, held.bars()) == ([kind], closable, True)
    assert [one.is_believed for one in held.desk.told(Drift)] == [False, True]
    assert held.desk.all(PlaceOrder) == [], "what is not ours is not ours to close"


def test_a_person_is_called_when_it_is_seen_and_when_it_is_believed() -> None:
    """Twice, with the figures: not with each of the reads that show it."""
    held = Held()
    for second in range(75, 95):
        held.read(second, 65)
    told = [one for one in held.desk.all(Notify) if "at the broker" in one.text]
    assert [one.severity for one in told] == [Severity.ALARM] * 2
    assert "195 contracts here, 65 at the broker" in told[0].text
    assert "nothing in the book explains it" in told[0].text


@pytest.mark.proves("T5")
def test_while_it_is_in_doubt_the_book_is_read_each_second() -> None:
    """And the account is not ready; then the difference bars its underlying only."""
    held = Held()
    held.read(75, 65)
    asked = len(held.desk.all(ReadBook))
    held.desk.at(76)
    assert len(held.desk.all(ReadBook)) == asked + 1
    failing = first_failing(held.desk.state)
    assert failing is not None
    assert failing[0] == "book"
    held.read(85.5, 65)
    assert first_failing(held.desk.state) is None
    assert held.bars()


def reads_within(held: Held, first: int, last: int) -> int:
    """How often the book is asked for from one second to another, each pass answered alike."""
    asked = len(held.desk.all(ReadBook))
    for second in range(first, last):
        before = len(held.desk.all(ReadBook))
        held.see(second)
        if len(held.desk.all(ReadBook)) > before:
            held.desk.book(*held.rows, nets={CALL: 0})
    return len(held.desk.all(ReadBook)) - asked


@pytest.mark.proves("T5", "T9")
def test_what_is_believed_to_be_missing_is_looked_for_each_five_seconds() -> None:
    """Its stop is gone: if the reads were wrong it is unprotected; a person's word ends the haste."""
    held = Held()
    held.read(75, 0)
    held.read(85.5, 0)
    assert [one.is_believed for one in held.desk.told(Drift)] == [False, True]
    assert held.closable == 0
    assert reads_within(held, 86, 116) in (5, 6, 7)
    held.desk.acknowledge_drift()
    reads_within(held, 116, 122)
    assert reads_within(held, 122, 156) == 0


@pytest.mark.proves("T5")
def test_a_smaller_net_that_changes_begins_its_ten_seconds_anew() -> None:
    """Only what is repeated is believed."""
    held = Held()
    for second in range(75, 110, 5):
        held.read(second, 65 if second % 2 else 130)
    assert held.closable == 195
    held.read(115.1, 65)
    held.read(125.2, 65)
    assert held.closable == 65


@pytest.mark.proves("T5", "PSY-4")
def test_an_early_net_that_comes_right_is_forgotten() -> None:
    """It was told late: nothing was cut, entries are free again by the evidence."""
    held = Held()
    held.read(75, 0)
    held.read(80, 195)
    assert (held.kinds, held.bars()) == ([], False)
    assert [one.kind for one in held.desk.told(DriftEnded)] == [DriftKind.GONE]


@pytest.mark.proves("T5", "T14")
def test_a_smaller_net_that_others_explain_is_cut_at_once() -> None:
    """The difference is told with what they did."""
    held = Held()
    held.read(75, 130, foreign=(sold(),))
    assert (held.kinds, held.closable) == ([DriftKind.SMALLER], 130)
    [told] = held.desk.told(Drift)
    assert (told.foreign, told.is_believed) == (-65, True)


@pytest.mark.proves("T5")
def test_a_net_that_lags_what_others_sold_restores_nothing() -> None:
    """Their order is filled, the position shows it later: 195 is early, not true."""
    held = Held()
    for second in range(75, 85):
        held.read(second, 195, foreign=(sold(),))
        assert (held.kinds, held.closable) in (([], 130), ([DriftKind.LATE], 130))
    held.read(85, 130, foreign=(sold(),))
    assert (held.kinds, held.closable) == ([], 130)
    assert held.desk.state.positions[1].open_quantity == 130, "booked once the net shows it"


@pytest.mark.proves("PSY-2")
def test_a_net_nowhere_ours_is_a_position_unknown_to_us() -> None:
    """The owner bought a put: told, explained, never ours; entries stop until it is seen."""
    held = Held()
    held.see(75)
    bought = sold(65, PUT, Side.BUY)
    held.desk.read_book(*held.rows, seconds=75, foreign=(bought,))
    assert held.kinds == [DriftKind.UNKNOWN_POSITION]
    assert held.bars()
    assert first_failing(held.desk.state) is None
    assert held.desk.all(PlaceOrder) == []
    held.see(80)
    held.desk.read_book(
        *held.rows,
        seconds=80,
        foreign=(bought, replace(sold(65, PUT), broker_id=BrokerOrderId("78"))),
    )
    assert (held.kinds, held.bars()) == ([], False), "explained all the time, and gone"


# -- acknowledged


@pytest.mark.proves("T14")
def test_what_a_person_has_acknowledged_bars_nothing_across_restarts() -> None:
    """The same difference of the same key; ours may come and go beside it."""
    held = Held()
    held.read(75, 260)
    held.read(85.5, 260)
    held.desk.acknowledge_drift(KEY)
    assert not held.bars()
    [told] = held.desk.told(DriftAcknowledged)
    assert (told.kind, told.ours, told.theirs, told.reason) == (DriftKind.LARGER, 195, 260, "seen")
    held.desk.restart(90)
    held.see(94)
    held.read(94, 260)
    assert not held.bars()
    assert [one.is_acknowledged for one in held.desk.engine.view.drifts] == [True]
    held.see(96)
    held.desk.fill(held.stop, price=88.0)
    done = replace(
        held.rows[1], status=BrokerStatus.FILLED, filled_quantity=195, filled_value_paise=1
    )
    held.desk.read_book(held.rows[0], done, seconds=101, nets={CALL: 65})
    assert (held.kinds, held.bars()) == ([DriftKind.UNKNOWN_POSITION], False)
    assert len(held.desk.told(DriftAcknowledged)) == 1


def test_an_acknowledged_difference_that_changes_comes_back() -> None:
    """65 too many were seen, 130 were not."""
    held = Held()
    held.read(75, 260)
    held.desk.acknowledge_drift()
    held.read(80, 260)
    assert not held.bars()
    held.read(85, 325)
    assert held.bars()


def test_an_acknowledged_smaller_net_is_taken_for_true_at_once() -> None:
    """The person has looked: ours are cut without the rest of the ten seconds."""
    held = Held()
    held.read(75, 65)
    held.desk.acknowledge_drift(KEY)
    assert held.desk.last(ModifyOrder).terms.quantity == 65
    assert held.closable == 65


def test_a_difference_that_nobody_could_explain_stays_until_it_is_acknowledged() -> None:
    """Promise 7: though the books agree again, and whatever restarts; then everything is ours."""
    held = Held()
    held.read(75, 65)
    held.read(85.5, 65)
    held.desk.row(held.stop.order_id, terms=held.desk.last(ModifyOrder).terms)
    held.read(90, 195)
    assert (held.closable, held.bars()) == (195, True)
    [told] = held.desk.engine.view.drifts
    assert not told.is_present
    assert "agree again" in told.text
    held.desk.restart(95)
    held.read(99, 195)
    assert held.bars()
    held.desk.acknowledge_drift(KEY)
    assert (held.kinds, held.bars()) == ([], False)


def test_there_is_nothing_to_acknowledge_where_nothing_differs() -> None:
    """A person who mistook the key is told so."""
    held = Held()
    held.desk.acknowledge_drift(KEY)
    assert [one.what for one in held.desk.told(Anomaly)] == ["no difference to acknowledge"]


def test_differences_survive_an_image() -> None:
    """With all that a person is shown of them."""
    held = Held()
    held.read(75, 260)
    before = held.desk.engine.view.drifts
    image = held.desk.engine.image()
    assert image is not None
    held.desk.engine.restore(image)
    assert held.desk.engine.view.drifts == before != ()


# -- reads that are no evidence


BAD_READS = ("failed", "empty", "stale", "twice", "one fill behind", "torn", "lagging position")


def _tell_bad(held: Held, kind: str, second: float) -> None:
    """Three bad passes of one kind within a second: more than would agree."""
    desk = held.desk
    held.see(second)
    entered, resting = held.rows
    less = replace(entered, filled_quantity=130, filled_value_paise=130 * 10_005)
    for number in range(3):
        desk.at(second + number * 0.3)
        if kind == "failed":
            desk.tell(ReadFailed(at_ns=desk.now, what=BOOK, reason="504"))
        elif kind == "empty":
            desk.book()
        elif kind == "stale":
            desk.book(entered, resting, nets={CALL: 0}, began_s=second - 59)
        elif kind == "twice":
            began_s = 0.3 * number
            desk.book(entered, resting, nets={CALL: 0 if number else 195}, began_s=began_s + number)
        elif kind == "one fill behind":
            desk.book(replace(less, status=BrokerStatus.WORKING), resting, nets={CALL: 130})
        elif kind == "torn":
            desk.book(entered, resting, nets={CALL: 0}, trades=())
        else:
            desk.book(entered, resting, nets={CALL: 195 - 65 * number})


@pytest.mark.proves("PSY-4", "PLC-5", "I-55", "I-103", "I-51", "T22", "I-67")
@pytest.mark.parametrize("kind", BAD_READS)
def test_a_bad_read_changes_nothing(kind: str) -> None:
    """Failed, empty, stale, repeated, behind, torn: no fill, no cut, no cancel, no order, no end."""
    held = Held()
    before = held.desk.engine.books
    for second in range(75, 120, 5):
        _tell_bad(held, kind, second)
    state = held.desk.state
    assert held.desk.engine.books == before
    assert held.closable == 195
    assert state.positions[1].is_open
    for command in (ModifyOrder, CancelOrder, PlaceOrder):
        assert held.desk.all(command) == []
    live = held.desk.engine.live_orders
    assert live == (held.stop.order_id,)
    assert state.orders[held.stop.order_id].state is OrderState.WORKING


@pytest.mark.proves("I-51", "PLC-5")
def test_an_exit_goes_on_while_no_read_succeeds() -> None:
    """A snapshot that fails ends no exit of what is known to be ours."""
    held = Held()
    _tell_bad(held, "failed", 75)
    held.desk.breach(77)
    assert held.desk.last(ModifyOrder).terms.quantity == 195


def test_negative_cash_is_a_warning_once_a_day() -> None:
    """T22: in session only its sign is judged, and it bars nothing."""
    held = Held()
    for second in (75, 80):
        held.see(second)
        held.desk.read_book(*held.rows, seconds=second, rupees=-5)
    texts = [one.text for one in held.desk.all(Notify) if one.severity is Severity.WARNING]
    assert texts == ["the broker shows free cash of -500 paise"]
    assert first_failing(held.desk.state) is None


def test_what_the_broker_does_not_hold_needs_no_protection() -> None:
    """The owner sold all of it: no stop rests, no clock runs, though no price comes any more."""
    held = Held()
    held.read(75, 0, foreign=(sold(195),))
    stop = held.desk.last(CancelOrder)
    gone = replace(held.rows[1], status=BrokerStatus.CANCELLED, venue_at_ns=held.desk.now)
    assert stop.order_id == held.stop.order_id
    held.desk.tell_row(gone, is_read=True)
    held.desk.at(90)
    position = held.desk.state.positions[1]
    assert position.unprotected_since_ns is None
    assert position.stop_missing_since_ns is None
    assert held.desk.all(PlaceOrder) == []
