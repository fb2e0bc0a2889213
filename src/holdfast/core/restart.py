"""What a start changes in the engine: nothing of the books, everything that hung on the process.

The engine keeps what it has folded and is not armed. What the process before was told of links,
services and funds is forgotten; what it asked is unanswered; waits that nobody watched begin anew.
"""

from holdfast.core import bookread
from holdfast.core.books.positions import Position
from holdfast.core.orders import asking
from holdfast.core.risk import closing
from holdfast.core.risk.levels import compile_levels
from holdfast.core.state import Access, BookWatch, PathWatch, State
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.command import Notify, ReadFunds, Severity, Subscribe
from holdfast.domain.event import Guard, Link
from holdfast.domain.instrument import InstrumentId
from holdfast.domain.order import OrderState


def begin(state: State, *, alone_ns: int | None = None) -> None:
    """Begin, or begin again in mid-day: subscribe, take entries back, then ask what is true.

    Since `alone_ns` nobody else has sent anything under ids of ours; `None`: since now.
    """
    _forget_process(state)
    _tell_owed(state)
    state.book.alone_ns = state.now_ns if alone_ns is None else min(alone_ns, state.now_ns)
    state.timers.postpone(state.now_ns)
    for position in state.live:
        _forget_waits(position)
    for name in sorted(state.orders):
        state.orders[name].lose_answers(state.now_ns)
    if state.instruments:
        state.send(Subscribe(instruments=wanted(state)))
        _ask(state)
    if state.left_out:
        numbers = ", ".join(str(sequence) for sequence in state.left_out)
        text = f"events {numbers} cannot be stepped and are left out: the engine stays disarmed"
        state.send(Notify(severity=Severity.ALARM, text=text))


def wanted(state: State) -> tuple[InstrumentId, ...]:
    """Every contract of the day, what is held or could still fill first (MFH-4, PIX-1)."""
    touched = {one.id for one in state.live}
    first = [identity for identity in sorted(state.instruments) if identity in touched]
    rest = [identity for identity in sorted(state.instruments) if identity not in touched]
    return (*first, *rest)


def ask(state: State) -> None:
    """Ask for funds and for the whole book."""
    state.send(ReadFunds())
    bookread.ask(state)


def _tell_owed(state: State) -> None:
    for audit in state.owed:
        state.tell(audit)
    state.owed.clear()


def _forget_process(state: State) -> None:
    state.services.clear()
    state.is_stopping = False
    state.links = dict.fromkeys(Link, False)
    state.journal_durable = False
    state.funds_paise = None
    state.loss.since_ns = None
    state.self_test_fault = "not run"
    state.path = PathWatch()
    state.access = Access()
    state.guard.asks.pop(Guard.LOSS_EXIT.value, None)
    state.book = BookWatch()
    state.book.began_ns = state.now_ns


def _forget_waits(position: Position) -> None:
    """Half a wait of before the outage proves nothing; the feed was not stale, nobody listened."""
    position.spike_at_ns = None
    position.beyond_since_ns, position.beyond_packets = None, 0
    position.stale_since_ns, position.stale_told = None, ()
    compile_levels(position)


def _ask(state: State) -> None:
    for position in tuple(state.live):
        closing.tend(state, position)  # entries go before anything else is asked (T6)
        if position.is_open:
            state.timers.set_earlier(TimerKey(Rank.SWEEP), state.now_ns)
    for name in sorted(state.orders):
        order = state.orders[name]
        if order.state is OrderState.UNKNOWN:
            asking.find(state, order)
    ask(state)
