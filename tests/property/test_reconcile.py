"""The differ by property: for any two books its remedies end in books that agree, or disarmed.

We hold up to two positions of 195 contracts in one key, each with a resting stop. The broker's book
is any that can lie beside ours: fills that we missed, orders that died, orders that the record has
lost or that exist twice, orders of others, and a net that nothing explains. The broker here obeys:
what we ask of an order stands in its next book.
"""

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from holdfast.core.drift import barring
from holdfast.core.orders.answers import order_of
from holdfast.core.orders.ids import OrderReason, order_id
from holdfast.core.ration import held_in, outside
from holdfast.core.readiness import first_failing
from holdfast.domain.audit import Drift, Remedied
from holdfast.domain.book import BookNet, BookTrade, ForeignRow
from holdfast.domain.command import AnyCommand, CancelOrder, ModifyOrder, PlaceOrder
from holdfast.domain.event import BookRead
from holdfast.domain.instrument import BrokerKey, Product
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderRow,
    OrderTerms,
    OrderType,
    Purpose,
    Side,
)
from tests.support.desk import CALL, OPEN, PUT, SECOND, Desk

KEY = BrokerKey(CALL.id, Product.INTRADAY)
HELD = 195
STOP = OrderTerms(
    instrument=CALL.id,
    product=Product.INTRADAY,
    side=Side.SELL,
    order_type=OrderType.STOP_LIMIT,
    quantity=HELD,
    limit_paise=8_000,
    trigger_paise=8_800,
)


class Fate(NamedTuple):
    """What became of one resting stop at the broker: contracts sold, and whether it lives."""

    sold: int
    status: BrokerStatus
    has_twin: bool


class Other(NamedTuple):
    """An order of somebody else."""

    side: Side
    quantity: int
    filled: int
    is_live: bool


class Difference(NamedTuple):
    """How the broker's book lies beside ours."""

    fates: tuple[Fate, ...]
    others: tuple[Other, ...]
    lost_attempt: int
    lost_lives: bool
    beyond: int
    is_restarted: bool


@st.composite
def fates(draw: st.DrawFn) -> Fate:
    sold = draw(st.sampled_from([0, 0, 1, 65, 194, HELD]))
    dead = [BrokerStatus.CANCELLED, BrokerStatus.REJECTED, BrokerStatus.EXPIRED]
    living = [BrokerStatus.WORKING, BrokerStatus.TRIGGERED]
    status = BrokerStatus.FILLED if sold == HELD else draw(st.sampled_from(living + dead))
    return Fate(sold, status, draw(st.integers(0, 4)) == 0)


@st.composite
def others(draw: st.DrawFn) -> Other:
    quantity = draw(st.sampled_from([65, 130, 195, 260]))
    filled = draw(st.sampled_from([0, 65, quantity]))
    is_live = filled < quantity and draw(st.booleans())
    return Other(draw(st.sampled_from(Side)), quantity, min(filled, quantity), is_live)


DIFFERENCES = st.builds(
    Difference,
    fates=st.lists(fates(), min_size=1, max_size=2).map(tuple),
    others=st.lists(others(), max_size=2).map(tuple),
    lost_attempt=st.sampled_from([0, 0, 2, 7]),
    lost_lives=st.booleans(),
    beyond=st.sampled_from([0, 0, 0, 65, -65, -195, 400, -600]),
    is_restarted=st.booleans(),
)


class World:
    """A desk and a broker's book that obeys it."""

    def __init__(self, difference: Difference) -> None:
        self.desk = Desk()
        self.rows: dict[BrokerOrderId, OrderRow] = {}
        self.second = 70.0
        stops = [self.desk.hold_by_hand(Side.BUY) for _ in difference.fates]
        entries = [one for one in self.desk.all(PlaceOrder) if one.purpose is Purpose.ENTRY]
        for entry in entries:
            row = self.desk.book_row(
                entry, BrokerStatus.FILLED, filled=HELD, price=100, venue_ns=OPEN
            )
            self.rows[row.broker_id] = row
        for stop, fate in zip(stops, difference.fates, strict=True):
            self._meet(stop, fate)
        if difference.lost_attempt:
            self._lose(difference)
        self.foreign = tuple(
            ForeignRow(
                broker_id=BrokerOrderId(f"7{number}"),
                instrument=CALL.id,
                product=Product.INTRADAY,
                side=other.side,
                quantity=other.quantity,
                filled_quantity=other.filled,
                is_live=other.is_live,
            )
            for number, other in enumerate(difference.others)
        )
        self.beyond = difference.beyond
        self.passes = 0
        if difference.is_restarted:
            self.desk.restart(self.second)
        self.taken = len(self.desk.commands)

    def _meet(self, stop: PlaceOrder, fate: Fate) -> None:
        row = self.desk.book_row(
            stop, fate.status, filled=fate.sold, price=88, venue_ns=OPEN + 30 * SECOND
        )
        self.rows[row.broker_id] = row
        if fate.has_twin:
            twin = replace(row, broker_id=BrokerOrderId(f"{row.broker_id}-twin"))
            self.rows[twin.broker_id] = twin

    def _lose(self, difference: Difference) -> None:
        reason = OrderReason(Purpose.STOP, 1, difference.lost_attempt)
        status = BrokerStatus.WORKING if difference.lost_lives else BrokerStatus.CANCELLED
        identity = order_id(self.desk.state.settings.id_prefix, reason)
        row = OrderRow(
            order_id=identity,
            broker_id=BrokerOrderId(f"B-{identity}"),
            status=status,
            terms=STOP,
            filled_quantity=0,
            filled_value_paise=0,
            venue_at_ns=OPEN + 30 * SECOND,
        )
        self.rows[row.broker_id] = row

    def net(self) -> int:
        own = sum(row.terms.side.sign * row.filled_quantity for row in self.rows.values())
        return own + sum(row.signed_fill for row in self.foreign) + self.beyond

    def book(self, *, began_s: float = 0.0) -> BookRead:
        """One pass over the book as it is now."""
        self.passes += 1
        now_ns = OPEN + round(self.second * SECOND)
        net = self.net()
        filled = [(row.broker_id, row.filled_quantity) for row in self.rows.values()]
        filled += [(row.broker_id, row.filled_quantity) for row in self.foreign]
        return BookRead(
            at_ns=now_ns,
            began_at_ns=now_ns - round(began_s * SECOND) + self.passes,
            nets=(
                BookNet(
                    instrument=CALL.id,
                    product=Product.INTRADAY,
                    bought=max(net, 0),
                    sold=max(-net, 0),
                ),
            ),
            orders=tuple(self.rows.values()),
            foreign=self.foreign,
            trades=tuple(
                BookTrade(trade_id=f"T{one}", broker_id=one, quantity=count, value_paise=count)
                for one, count in filled
                if count
            ),
            funds_paise=50_000_000,
        )

    def obey(self) -> None:
        """What was asked since stands in the book."""
        asked, self.taken = self.desk.commands[self.taken :], len(self.desk.commands)
        for command in asked:
            self._obey(command)

    def _obey(self, command: AnyCommand) -> None:
        if isinstance(command, PlaceOrder):
            row = self.desk.book_row(command)
            self.rows[row.broker_id] = row
            return
        if not isinstance(command, ModifyOrder | CancelOrder):
            return
        row = self.rows[command.broker_id]
        if not row.status.is_live:
            return
        if isinstance(command, CancelOrder):
            row = replace(row, status=BrokerStatus.CANCELLED, venue_at_ns=self.desk.now)
        else:
            row = replace(row, terms=command.terms, venue_at_ns=self.desk.now)
            if row.filled_quantity >= row.terms.quantity:
                row = replace(row, status=BrokerStatus.FILLED)
        self.rows[command.broker_id] = row

    def live_on(self, seconds: int) -> None:
        """A stable pass each second, prices that touch nothing, and the broker's obedience."""
        for _ in range(seconds):
            self.second += 1
            self.desk.at(self.second)
            for contract in (CALL, PUT):
                self.desk.tick(contract)
            self.desk.spot()
            self.obey()
            self.desk.tell(self.book())
            self.check()

    def check(self) -> None:
        """What holds after every read, whatever it showed."""
        state = self.desk.state
        for row in self.rows.values():
            order = order_of(state, row)
            if row.status.is_live and order is not None:
                assert order.is_live, f"{row.broker_id} is open at the broker and dead here"
        for position in state.positions.values():
            assert position.closable_quantity <= position.open_quantity

    def is_armed(self) -> bool:
        state = self.desk.state
        return first_failing(state) is None and not barring(state)


@pytest.mark.proves("REC-4", "T5", "T22")
@settings(max_examples=40, deadline=None)
@given(DIFFERENCES)
def test_after_the_remedies_the_next_read_finds_nothing_or_is_disarmed(
    difference: Difference,
) -> None:
    """Thirty seconds of stable reads end it: no remedy, no new drift, nothing sent any more."""
    world = World(difference)
    world.live_on(40)
    state = world.desk.state
    world.desk.forget()
    world.taken = 0
    world.live_on(5)
    assert world.desk.told(Remedied) == []
    assert world.desk.told(Drift) == []
    ours = sum(one.holding.quantity for one in held_in(state, KEY))
    agrees = ours == world.net() and outside(state, KEY) + state.extra.get(KEY, 0) == 0
    assert agrees or not world.is_armed()
    if difference.beyond == 0 and not difference.others and not _is_overdone(difference):
        assert agrees


def _is_overdone(difference: Difference) -> bool:
    """Whether a twin has sold what was not there: the excess is being closed, step by step."""
    return any(fate.has_twin for fate in difference.fates)


@pytest.mark.proves("T4", "T5")
@settings(max_examples=40, deadline=None)
@given(DIFFERENCES)
def test_what_could_close_never_exceeds_what_the_broker_holds_once_it_is_known(
    difference: Difference,
) -> None:
    """Living closers of the key on either side, others' working ones beside them, and the net.

    Twins that have sold what another position holds included: the broker has netted both.
    """
    world = World(difference)
    world.live_on(40)
    for side in Side:
        ours = sum(
            row.terms.quantity - row.filled_quantity
            for row in world.rows.values()
            if row.status.is_live and row.terms.side is side
        )
        theirs = sum(
            row.quantity - row.filled_quantity
            for row in world.foreign
            if row.is_live and row.side is side
        )
        assert ours <= max(-side.sign * world.net() - theirs, 0)


@pytest.mark.proves("T22", "PSY-4")
@settings(max_examples=25, deadline=None)
@given(
    st.lists(DIFFERENCES, min_size=1, max_size=1),
    st.lists(st.integers(0, 5), min_size=4, max_size=12),
    st.integers(0, 3),
)
def test_shuffled_duplicated_and_delayed_reads_converge(
    differences: list[Difference], order: list[int], late: int
) -> None:
    """What comes out of order, twice or late before the book stands still plays no part after it."""
    calm, torn = World(differences[0]), World(differences[0])
    passes = []
    for world in (calm, torn):
        world.live_on(3)
    for number in range(6):
        torn.second += 0.1
        passes.append(torn.book(began_s=late * number / 2))
    for number in order:
        torn.desk.tell(replace(passes[number], at_ns=torn.desk.now))
        torn.check()
    for world in (calm, torn):
        world.second = 75
        world.live_on(45)
    assert _figures(calm) == _figures(torn)


def _figures(world: World) -> object:
    """Everything but the attempts of closing orders: those are a matter of time."""
    state = world.desk.state
    return (
        [
            (number, one.holding, one.missing, one.is_closed)
            for number, one in sorted(state.positions.items())
        ],
        [
            (name, one.filled_quantity)
            for name, one in sorted(state.orders.items())
            if one.filled_quantity
        ],
        [(key, one.kind, one.excess, one.is_believed) for key, one in sorted(state.drifts.items())],
        sorted(state.extra.items()),
        state.book.open_points,
    )
