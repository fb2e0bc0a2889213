"""Over the night (T24): what a day leaves open, and the next one begins with.

Orders are of the day, and yesterday's cannot be read any more. What is carried is the holding with
its plan: contracts, what they cost, the stop level in force. It has a number of today, so that ids
are today's and nothing of before can be met. Profit counts from the carried cost, so that the day's
loss limit sees all that it has lost; the charges of earlier days stay there.

Nothing is sent for it before the book was read and the exchange is open: then its stop is placed at
once, or the ordinary rules close it at the day's first prices. What the broker does not hold of it
is a difference like any other.
"""

from msgspec.structs import replace

from holdfast.core import adoption
from holdfast.core.books.positions import Position
from holdfast.core.books.postings import postings_of_carried
from holdfast.core.entries.candidate import close_out_ns
from holdfast.core.orders.ids import POSITION_MAX
from holdfast.core.risk import closing, limits
from holdfast.core.state import State
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.audit import PositionResumed
from holdfast.domain.command import Notify, Severity
from holdfast.domain.decision import Exit, Intent, Values
from holdfast.domain.event import PositionCarried

CLOSE_OUT_RULE = "close_out"
"""The rule that speaks of a day's end: of its own day only."""

EXCESS_RULE = "carried_excess"
"""Stands for the rule that closes what lies on the wrong side: no plan was made for that."""


def left_over(state: State) -> tuple[PositionCarried, ...]:
    """What the day leaves open as of now, by number, as another day can be told of it."""
    return tuple(_left(state, one) for one in state.live if one.is_open)


def _left(state: State, position: Position) -> PositionCarried:
    day, before = state.settings.day, position.carried
    return PositionCarried(
        at_ns=state.now_ns,
        day=day,
        opened_day=day if before is None else before.opened_day,
        opened_at_ns=position.opened_at_ns,
        intent=position.intent,
        quantity=position.holding.quantity,
        cost_paise=position.holding.cost_paise,
        stop_paise=position.stop_paise,
        peak_paise=position.peak_paise,
        exit=position.exit,
    )


def take_carried(state: State, event: PositionCarried) -> None:
    """Hold what an earlier day left open. Told twice it is held once; what cannot be is told."""
    if any(_is_same(position, event) for position in state.positions.values()):
        return
    fault = _fault(state, event)
    if fault is not None:
        values: Values = {"instrument": event.intent.instrument, "held": event.quantity}
        state.alarm(f"a carried position is not taken over: {fault}", {**values, "from": event.day})
        return
    position = _open(state, event)
    _tell(state, position, event)
    exit_ = _decided(position, event)
    if exit_ is not None:
        closing.decide(state, position, exit_)


def _is_same(position: Position, event: PositionCarried) -> bool:
    known = position.carried
    return known is not None and (known.day, known.intent.position) == (
        event.day,
        event.intent.position,
    )


def _fault(state: State, event: PositionCarried) -> str | None:
    instrument = state.instruments.get(event.intent.instrument)
    if instrument is None:
        return "the contract is not in today's master"
    if state.session(instrument.exchange) is None:
        return "its exchange does not open today"
    if instrument.expiry is not None and instrument.expiry < state.settings.day:
        return "the contract has expired"
    return None if event.quantity else "nothing is held of it"


def _open(state: State, event: PositionCarried) -> Position:
    number = state.day.positions + 1
    assert number <= POSITION_MAX, "more positions in a day than order ids can name"
    position = adoption.open_position(state, _intent(state, event, number), None)
    position.take_carried(event)
    session = state.session(position.instrument.exchange)
    assert session is not None
    # The night has no protection by nature, and was told: what is counted begins at the opening.
    since_ns = max(state.now_ns, session.open_ns)
    position.stop_missing_since_ns = position.unprotected_since_ns = since_ns
    position.evaluated_at_ns = state.now_ns
    state.held.setdefault(position.id, []).append(position)
    state.ledger.post(postings_of_carried(event.cost_paise))
    limits.renew(state, position)
    state.timers.set_earlier(TimerKey(Rank.SWEEP), state.now_ns)
    return position


def _intent(state: State, event: PositionCarried, number: int) -> Intent:
    """The same intent under a number of today; its close-out is today's."""
    instrument = state.instruments[event.intent.instrument]
    plan = replace(event.intent.plan, close_out_ns=close_out_ns(state, instrument))
    structure = _structure(state, event, number)
    return replace(event.intent, position=number, plan=plan, structure=structure)


def _structure(state: State, event: PositionCarried, number: int) -> int | None:
    """Legs stay together, under the number of the first of them: no structure of today has it."""
    before = event.intent.structure
    if before is None:
        return None
    for other in state.live:
        if other.carried is not None and other.carried.intent.structure == before:
            return other.intent.structure
    return number


def _decided(position: Position, event: PositionCarried) -> Exit | None:
    """A decision to get out stands over the night; yesterday's close-out does not.

    What that one could not close is protected like all that was meant to stay (T24).
    """
    if position.is_excess:
        return Exit(rule=EXCESS_RULE, values={"held": event.quantity})
    if event.exit is None or event.exit.rule == CLOSE_OUT_RULE:
        return None
    return replace(event.exit, values={**event.exit.values, "decided_on": event.day})


def _tell(state: State, position: Position, event: PositionCarried) -> None:
    state.tell(
        PositionResumed(
            intent=position.intent,
            day=event.day,
            earlier=event.intent.position,
            opened_day=event.opened_day,
            opened_at_ns=event.opened_at_ns,
            quantity=event.quantity,
            cost_paise=event.cost_paise,
            stop_paise=event.stop_paise,
            peak_paise=event.peak_paise,
        )
    )
    symbol = position.instrument.symbol
    text = f"position {position.number} is carried from {event.day}: {event.quantity} {symbol}"
    state.send(Notify(severity=Severity.WARNING, text=text))
