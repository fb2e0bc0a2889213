"""Checkers of how things come to rest: protected, flat, reconciled, ready, and even, by themselves."""

from collections import Counter
from typing import TYPE_CHECKING

from typing_extensions import override

from holdfast.core.books.postings import Account
from holdfast.core.readiness import first_failing
from holdfast.core.state import State
from holdfast.domain.audit import Drift
from holdfast.domain.event import BookRead, BookRepeated, Restarted
from holdfast.domain.instrument import BrokerKey
from holdfast.domain.market import Tick
from holdfast.domain.order import BrokerOrderId, BrokerStatus
from holdfast.exchange.faults import FaultKind
from holdfast.runtime.driver import ON_TAPE
from holdfast.runtime.recover import recover
from holdfast.store import rows
from holdfast.store.fold import Rows, fold
from holdfast.worlds.acts import BrokerFault
from holdfast.worlds.checkers import Checker, Seen, shown
from holdfast.worlds.ground import SECOND

if TYPE_CHECKING:
    from holdfast.worlds.world import World

PROTECTED_NS = 8 * SECOND
"""The five seconds after which an unprotected position is closed, and what a round trip takes."""

QUIET_NS = 12 * SECOND
"""So long after the last fault what it did is taken to be over."""

NAKED_NS = 12 * SECOND
"""The five seconds of T9, after a start too, and what the rules take to look."""

READY_NS = 60 * SECOND
"""So long after the last fault the program is ready again by itself."""

TRADING_NS = 15 * SECOND
"""So long its own trades may keep it from being so: the book moves while an exit fills."""

CLOCK_NS = SECOND // 2
"""So far a clock may be off before nothing is entered by it (T30, decisions 1.7)."""

NOWHERE_NS = 18 * SECOND
"""An entry that never arrived is proved absent in this: a time-out, and two reads after it (T3)."""

WATERMARK_NS = 3 * SECOND
"""The two seconds of the promise, and a turn of the loop."""

_TOUCHES = (
    FaultKind.STOP_DROPPED,
    FaultKind.OWNER_CANCELS_STOP,
    FaultKind.OWNER_CHANGES_STOP,
)

A_PERSONS = ("halted", "daily_loss", "rules")
"""Terms that only a person, or the next day, can make true again."""


def _is_ours_alone(seen: Seen, number: int) -> bool:
    """Whether a position is in a key that nobody else has traded, so that it is all our doing."""
    position = seen.state.positions.get(number)
    if position is None:
        return not seen.world.is_anybody_else_in_it
    return seen.world.is_ours_alone(position.key)


class EveryPositionIsProtected(Checker):
    """What is held at the exchange has closing orders there, but for seconds, when nothing is wrong.

    A stop that the owner touched twice is left so: that is his will, and the local rule alone holds
    the position (T14). So is one that the exchange dropped twice: nobody can tell the two apart.
    """

    promise = "2.5, T9"

    def __init__(self) -> None:
        """Since when each position was not covered."""
        self._since_ns: dict[int, int] = {}
        self._looked_ns = 0

    @override
    def after_step(self, seen: Seen) -> None:
        world, now_ns = seen.world, seen.now_ns
        if now_ns - self._looked_ns < SECOND:
            return
        self._looked_ns = now_ns
        tally = world.tally
        naked = {
            number
            for number, held in tally.held.items()
            if held > tally.closing[number] and _is_ours_alone(seen, number)
        }
        if world.is_troubled(now_ns, QUIET_NS) or world.terms.has_structures:
            naked = set()  # a long leg of a structure bears no stop (T12)
        if any(isinstance(act, BrokerFault) and act.kind in _TOUCHES for act in world.script.acts):
            naked -= {one.number for one in seen.state.live if one.stop_is_owners}
        self._since_ns = {number: self._since_ns.get(number, now_ns) for number in sorted(naked)}
        for number, since_ns in self._since_ns.items():
            if now_ns - since_ns > PROTECTED_NS:
                self.broken(
                    f"position {number} holds {tally.held[number]}, {tally.closing[number]} of it"
                    f" covered at the broker, for {(now_ns - since_ns) / SECOND:.0f} s"
                )


class NakedIsClosed(Checker):
    """What nothing protects is being closed: a stop counts once it was read, the rules while they can act."""

    promise = "T9"

    @override
    def after_step(self, seen: Seen) -> None:
        state = seen.state
        for position in state.live:
            if not position.is_open or position.exit is not None:
                continue
            closers = [state.orders[name] for name in position.closers]
            is_read = any(one.is_live and one.seen is not None for one in closers)
            if position.verified and not is_read:
                self.broken(f"position {position.number} counts as protected, no stop was read")
            since_ns = position.unprotected_since_ns
            if since_ns is None or seen.world.since_start_ns < NAKED_NS:
                continue
            age_ns = state.now_ns - since_ns
            if age_ns > NAKED_NS:
                text = (
                    f"position {position.number} is kept, unprotected for {age_ns / SECOND:.0f} s"
                )
                self.broken(text)


class EntriesEnd(Checker):
    """An entry that nobody waits for any more does not rest at the exchange, when nothing is wrong."""

    promise = "T6"

    @override
    def after_step(self, seen: Seen) -> None:
        world, state = seen.world, seen.state
        if isinstance(seen.event, Tick) or world.since_start_ns < QUIET_NS:
            return
        if world.is_deaf(seen.now_ns, QUIET_NS):
            return
        life_ns = world.terms.settings.entries.life_s * SECOND
        for position in state.live:
            for name in position.entries:
                order = state.orders[name]
                age_ns = state.now_ns - order.sent_at_ns
                is_nowhere = order.broker_id is None
                within_ns = max(life_ns + PROTECTED_NS, NOWHERE_NS if is_nowhere else 0)
                if order.is_live and age_ns > within_ns:
                    self.broken(f"{shown(order)} lives for {age_ns / SECOND:.0f} s")


class FillsAreHeard(Checker):
    """While requests and reads go through, every fill is known within seconds, told or not."""

    promise = "T9, OUP-1"

    def __init__(self) -> None:
        """For each position that is behind the exchange: what is booked, and since when."""
        self._behind: dict[int, tuple[int, int]] = {}
        self._looked_ns = 0

    @override
    def after_step(self, seen: Seen) -> None:
        world, now_ns = seen.world, seen.now_ns
        if now_ns - self._looked_ns < SECOND:
            return
        self._looked_ns = now_ns
        if world.is_deaf(now_ns, QUIET_NS) or world.is_young:
            self._behind.clear()
            return
        booked = {one.number: one.holding.quantity for one in seen.state.live if one.is_open}
        filled = {number: quantity for number, quantity in world.tally.held.items() if quantity}
        behind: dict[int, tuple[int, int]] = {}
        for number in sorted({number for number, _ in booked.items() ^ filled.items()}):
            if _is_ours_alone(seen, number):
                known = booked.get(number, 0)
                before, since_ns = self._behind.get(number, (known, now_ns))
                behind[number] = known, since_ns if before == known else now_ns
        self._behind = behind
        for number, (_, since_ns) in behind.items():
            if now_ns - since_ns > PROTECTED_NS:
                late_s = (now_ns - since_ns) // SECOND
                self.broken(f"position {number} is behind the exchange for {late_s} s")


class DifferencesAreEvident(Checker):
    """A difference is told where there is one, and believed when it has stood for ten seconds."""

    promise = "2.7, T5"
    wants_quiet = False

    BELIEVED_NS = 10 * SECOND

    def __init__(self) -> None:
        """Nothing is believed."""
        self._believed: set[BrokerKey] = set()

    @override
    def after_step(self, seen: Seen) -> None:
        world, state = seen.world, seen.state
        if isinstance(seen.event, BookRead | BookRepeated):
            self._look_at_believed(state)
        if isinstance(seen.event, Restarted | BookRead | BookRepeated):
            self._believed = set(state.extra)
        if world.is_doubtful(seen.now_ns, QUIET_NS):
            return
        for audit in seen.done.audits:
            if isinstance(audit, Drift) and world.is_ours_alone(
                BrokerKey(audit.instrument, audit.product)
            ):
                self.broken(f"{audit.instrument}: {audit.ours} here, {audit.theirs} were read")

    def _look_at_believed(self, state: State) -> None:
        for key in sorted(state.extra.keys() - self._believed):
            found = state.drifts.get(key)
            if found is None or found.is_acknowledged:
                continue
            stood_ns = state.now_ns - found.since_ns
            if stood_ns < self.BELIEVED_NS:
                self.broken(f"{key.instrument} was believed after {stood_ns / SECOND:.1f} s")


class RulesRun(Checker):
    """The rules look at every open position at least each two seconds."""

    promise = "I-01, RSK-7"

    @override
    def after_step(self, seen: Seen) -> None:
        world = seen.world
        if world.since_start_ns < WATERMARK_NS:
            return
        for position in seen.state.live:
            age_ns = seen.state.now_ns - position.evaluated_at_ns
            if position.is_open and age_ns > WATERMARK_NS:
                text = f"position {position.number} was last looked at {age_ns / SECOND:.1f} s ago"
                self.broken(text)


class RecoveryDecidesAlike(Checker):
    """What a start folds decides as was recorded, and leaves nothing out."""

    promise = "2.9, 2.12, REC-2"

    @override
    def on_start(self, world: "World") -> None:
        if not world.recovered:
            return
        last = world.recovered[-1]
        if last.differences:
            self.broken(f"{last.differences} decisions differ, the first: {last.first_difference}")
        if last.left_out or last.faults:
            self.broken(f"events {last.left_out} were left out: {last.faults}")
        assert world.process is not None
        world.process.engine.image()  # each start takes one before anything is told


class ReadyAgain(Checker):
    """A minute after the last fault the program is ready, unless a person's word is wanted."""

    promise = "liveness"

    def __init__(self) -> None:
        """Not looked."""
        self._has_looked = False

    @override
    def after_step(self, seen: Seen) -> None:
        world = seen.world
        if self._has_looked or seen.now_ns < world.calm_ns + READY_NS:
            return
        self._has_looked = True
        if abs(world.off_of_process) > CLOCK_NS:
            return  # such a clock is not sane: every price looks old, or comes from the future
        failing = first_failing(seen.state)
        if failing is None or failing[0] in A_PERSONS:
            return
        self._has_looked = seen.now_ns >= world.calm_ns + READY_NS + TRADING_NS
        if self._has_looked:
            self.broken(f"not ready a minute after the last fault: {failing[0]} {failing[1]}")


class FlatAtTheEnd(Checker):
    """A minute after the close-out nothing of ours is held, and nothing can fill any more."""

    promise = "liveness, PLC-5"

    @override
    def at_end(self, world: "World") -> None:
        live = [row for row in world.exchange.orders() if row.status is BrokerStatus.WORKING]
        if live:
            self.broken(f"{live[0].order_id} still works at the exchange")
        if world.state.live:
            open_ = [one.number for one in world.state.live]
            self.broken(f"positions {open_} are open in the books")
        for key, net in world.exchange.positions().items():
            if net and world.is_ours_alone(key):
                self.broken(f"{net} of {key.instrument} are held at the exchange")


class EveryFillIsBooked(Checker):
    """What the exchange filled of each order of ours, the books hold, to the contract and paisa."""

    promise = "2.3, invariant 4, I-52"

    @override
    def at_end(self, world: "World") -> None:
        booked = {one.broker_id: one for one in world.state.orders.values()}
        for row in world.exchange.orders():
            order = booked.get(row.broker_id)
            if order is None:
                if row.filled_quantity or row.status is BrokerStatus.WORKING:
                    self.broken(f"{row.order_id} ({row.broker_id}) is not in the books")
                continue
            theirs = row.filled_quantity, row.filled_value_paise
            if (order.filled_quantity, order.filled_value_paise) != theirs:
                self.broken(f"{shown(order)} is booked, the exchange filled {theirs[0]}")


class RecordTellsTheDay(Checker):
    """What the record says of each position, and of the day, is what the books came to."""

    promise = "2.9, invariant 4, T30"

    @override
    def at_end(self, world: "World") -> None:
        told = Rows()
        for sequence, record in world.disk.rows:
            if not isinstance(record, ON_TAPE):
                fold(told, sequence, record)
        positions = told.held(rows.Position)
        ended = [one for one in positions if one.gross_paise is not None]
        recorded = {one.position: (one.gross_paise, one.net_paise) for one in ended}
        booked = {
            number: (one.realised_paise, one.net_paise)
            for number, one in world.state.positions.items()
            if one.is_closed and one.fills
        }
        if recorded != booked:
            differing = sorted(dict(recorded.items() ^ booked.items()))
            self.broken(f"positions {differing}: {recorded} is recorded, {booked} is booked")
        self._look_at_day(told, ended)

    def _look_at_day(self, told: Rows, ended: list[rows.Position]) -> None:
        gross, net = (
            sum(one.gross_paise or 0 for one in ended),
            sum(one.net_paise or 0 for one in ended),
        )
        made = len(ended), gross, net
        for day in told.held(rows.Day):
            if (day.trades, day.gross_paise, day.net_paise) != made:
                self.broken(
                    f"trades, gross and net of the day are {day.trades}, {day.gross_paise} and"
                    f" {day.net_paise}, those of its positions {made}"
                )
        cash = sum(one.amount_paise for one in told.held(rows.Posting) if one.account == "cash")
        if cash != net:
            self.broken(f"cash moved by {cash}, the positions made {net}")


class NothingIsUnknown(Checker):
    """At rest no order is in question, and the broker's book holds nothing that is awaited."""

    promise = "2.1, 2.7, REC-1"

    @override
    def at_end(self, world: "World") -> None:
        for name in sorted(world.state.orders):
            order = world.state.orders[name]
            if order.is_live:
                self.broken(f"{shown(order)} has come to no end")
        if world.state.book.open_points:
            self.broken(f"the book is not settled: {world.state.book.open_points[0]}")


class BooksAreTheBrokers(Checker):
    """At rest a difference with the broker's positions is known as one, and only strangers make one.

    What others have closed of ours is in our books, and what else they did is not: the broker has
    the one and the other, to the contract. No execution of theirs is booked beyond what it was.
    """

    promise = "2.7, T5, I-104"

    @override
    def at_end(self, world: "World") -> None:
        ours: Counter[BrokerKey] = Counter()
        for position in world.state.positions.values():
            ours[position.key] += position.holding.quantity
        theirs = self._unbooked(world)
        for key, net in world.exchange.positions().items():
            if net != ours[key] + theirs[key]:
                beside = f", {theirs[key]} of others" if theirs[key] else ""
                self.broken(f"{key.instrument}: {ours[key]} here{beside}, {net} at the broker")
        for key, drift in sorted(world.state.drifts.items()):
            if drift.is_present and world.is_ours_alone(key):
                self.broken(f"a difference in {key.instrument} that nobody made")

    def _unbooked(self, world: "World") -> Counter[BrokerKey]:
        """What others have bought and sold that has closed nothing of ours."""
        left = {number: fill.quantity for number, fill in world.state.booked.items()}
        theirs: Counter[BrokerKey] = Counter()
        for one in world.exchange.executed:
            if one.order_id is None:
                booked = min(left.get(one.broker_id, 0), one.quantity)
                left[one.broker_id] = left.get(one.broker_id, 0) - booked
                theirs[one.key] += one.side.sign * (one.quantity - booked)
        for number in sorted(left):
            if left[number]:
                self.broken(f"{left[number]} of {number} are booked and were never executed")
        return theirs


class ProfitIsTheExchanges(Checker):
    """What our books realised is what the account's cash has moved by, to the paisa."""

    promise = "invariant 11"

    @override
    def at_end(self, world: "World") -> None:
        if world.is_anybody_else_in_it:
            return
        realised = -world.state.ledger.balance_e4(Account.REALISED)
        moved = (world.exchange.cash_paise - world.terms.cash_paise) * 10_000
        if realised != moved:
            self.broken(f"realised {realised / 1e6:.2f} here, {moved / 1e6:.2f} at the exchange")


class ExchangeIsConserved(Checker):
    """The exchange itself lost nothing: else nothing here proves anything."""

    promise = "design 14"

    @override
    def at_end(self, world: "World") -> None:
        try:
            world.exchange.assert_conserved()
        except AssertionError as error:
            self.broken(str(error))


class FoldIsTheState(Checker):
    """The journal folded again is the engine that lived, byte for byte."""

    promise = "2.9, 2.12, RACE-9"

    @override
    def at_end(self, world: "World") -> None:
        process = world.process
        is_due = not world.script.seed % FOLD_EVERY or world.images is not None
        if process is None or not is_due:
            return
        found = recover(lambda: iter(world.disk.rows), world.make)
        if found is not None and found[0].image() != process.engine.image():
            self.broken("the fold of the journal is another engine than the one that lived")


FOLD_EVERY = 8
"""One short world in so many is folded again at its end: that costs half as much as the world itself.

A whole session always is, from its beginning: its starts went on from images."""


class NoTwoNumbersTheSame(Checker):
    """Every record has its number, in order, and the broker's numbers name one order each."""

    promise = "B-14"

    @override
    def at_end(self, world: "World") -> None:
        numbers = [number for number, _ in world.disk.rows]
        if numbers != sorted(set(numbers)):
            self.broken("records are out of order")
        seen: set[BrokerOrderId] = set()
        for name in sorted(world.state.orders):
            broker_id = world.state.orders[name].broker_id
            if broker_id is not None and broker_id in seen:
                self.broken(f"{broker_id} is in the books twice")
            if broker_id is not None:
                seen.add(broker_id)


ENDINGS: tuple[type[Checker], ...] = (
    EveryPositionIsProtected,
    NakedIsClosed,
    EntriesEnd,
    FillsAreHeard,
    DifferencesAreEvident,
    RulesRun,
    RecoveryDecidesAlike,
    ReadyAgain,
    ExchangeIsConserved,
    EveryFillIsBooked,
    RecordTellsTheDay,
    NothingIsUnknown,
    BooksAreTheBrokers,
    FlatAtTheEnd,
    ProfitIsTheExchanges,
    FoldIsTheState,
    NoTwoNumbersTheSame,
)
