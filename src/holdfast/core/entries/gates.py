"""The gates between a signal and an order: an ordered list of pure functions.

Each looks at the candidate and the state, changes neither, and answers with the figures it looked
at: `Passed` or `Denial`. The first denial ends the signal.
"""

from collections.abc import Callable

from holdfast.core.drift import barring
from holdfast.core.entries.candidate import Candidate, cutoff_ns, start_ns
from holdfast.core.ration import outside
from holdfast.core.readiness import first_failing, quote_fault
from holdfast.core.risk.limits import worst_today_paise
from holdfast.core.settings import SECOND_NS
from holdfast.core.state import State
from holdfast.domain.decision import Denial, HaltLevel, Passed, Signal, Values
from holdfast.domain.instrument import BrokerKey

Gate = Callable[[State, Candidate], Passed | Denial]


def _answer(gate: str, *, ok: bool, values: Values) -> Passed | Denial:
    return Passed(gate=gate, values=values) if ok else Denial(gate=gate, values=values)


def halted(state: State, _candidate: Candidate) -> Passed | Denial:
    """Nothing is entered while the account is halted, or the program is being stopped."""
    level = "stopping" if state.is_stopping else state.halt.value
    is_free = state.halt is HaltLevel.NONE and not state.is_stopping
    return _answer("halted", ok=is_free, values={"level": level})


def ready(state: State, _candidate: Candidate) -> Passed | Denial:
    """Every readiness term of the account holds."""
    failing = first_failing(state)
    if failing is None:
        return Passed(gate="ready", values={})
    term, values = failing
    return Denial(gate="ready", values={"term": term, **values})


def one_signal(state: State, candidate: Candidate) -> Passed | Denial:
    """One signal per candle and side, whoever speaks and however often."""
    signal = candidate.signal
    key = signal_key(candidate)
    values: Values = {"candle_start_ns": signal.candle_start_ns, "side": signal.direction.value}
    return _answer("one_signal", ok=key not in state.day.signals_seen, values=values)


def signal_key(candidate: Candidate) -> str:
    """Names what may be entered once: underlying, candle and direction."""
    return spent_key(candidate.signal)


def spent_key(signal: Signal) -> str:
    """The same of a signal that was recorded."""
    return f"{signal.underlying}|{signal.candle_start_ns}|{signal.direction.value}"


def drift(state: State, candidate: Candidate) -> Passed | Denial:
    """No unexplained difference with the broker's book on this underlying (promise 7).

    Nor a key of it about which reads of the book do not agree (T22), or in which others trade at
    the moment (T11). A difference in a contract that today's master does not hold may be on any.
    """
    underlying = candidate.underlying.instrument.underlying
    for key in barring(state):
        instrument = state.instruments.get(key.instrument)
        if instrument is None or instrument.underlying == underlying:
            return Denial(gate="drift", values=_difference(state, key))
    return Passed(gate="drift", values={})


def _difference(state: State, key: BrokerKey) -> Values:
    found = state.drifts.get(key)
    if found is None:
        is_met = key in state.book.strangers
        return {"key": key.instrument, "book": "others trade" if is_met else "does not settle"}
    return {"key": key.instrument, "ours": found.ours, "theirs": found.theirs}


def contract(_state: State, candidate: Candidate) -> Passed | Denial:
    """Today's master holds a contract for the signal, with a known freeze quantity."""
    instrument = candidate.instrument
    if instrument is None:
        return Denial(gate="contract", values={"spot_paise": candidate.underlying.last_paise})
    values: Values = {"symbol": instrument.symbol, "freeze_quantity": instrument.freeze_quantity}
    return _answer("contract", ok=instrument.freeze_quantity > 0, values=values)


def entry_hours(state: State, candidate: Candidate) -> Passed | Denial:
    """The contract's exchange is open, between the first and the last moment for entries.

    The last one is not included.
    """
    assert candidate.instrument is not None
    session = state.session(candidate.instrument.exchange)
    if session is None or not session.is_open(state.now_ns):
        return Denial(gate="entry_hours", values={"session": "closed"})
    start = start_ns(state, candidate.instrument)
    cutoff = cutoff_ns(state, candidate.instrument)
    values: Values = {"start_ns": start, "cutoff_ns": cutoff, "now_ns": state.now_ns}
    return _answer("entry_hours", ok=start <= state.now_ns < cutoff, values=values)


def cooldown(state: State, candidate: Candidate) -> Passed | Denial:
    """Some time has passed since the last position of this underlying and direction closed."""
    signal = candidate.signal
    last = state.day.last_exit_ns.get((signal.underlying, signal.direction))
    wanted = state.settings.entries.cooldown_s
    if last is None:
        return Passed(gate="cooldown", values={"wanted_s": wanted})
    age_ns = state.now_ns - last
    values: Values = {"wanted_s": wanted, "age_s": age_ns // SECOND_NS}
    return _answer("cooldown", ok=age_ns >= wanted * SECOND_NS, values=values)


def positions_open(state: State, _candidate: Candidate) -> Passed | Denial:
    """Fewer positions are open, or about to be, than allowed."""
    count, most = len(state.live), state.settings.entries.positions_open_max
    return _answer("positions_open", ok=count < most, values={"open": count, "max": most})


def trades_per_day(state: State, _candidate: Candidate) -> Passed | Denial:
    """Fewer positions were begun today than allowed; those still on their way in count."""
    pending = sum(1 for position in state.live if position.fills == 0)
    count = state.day.trades + pending
    most = state.settings.entries.trades_per_day_max
    return _answer("trades_per_day", ok=count < most, values={"trades": count, "max": most})


def fresh_quotes(state: State, candidate: Candidate) -> Passed | Denial:
    """The contract's and its underlying's quotes are fresh."""
    assert candidate.quote is not None
    for quote in (candidate.underlying, candidate.quote):
        fault = quote_fault(state, quote)
        if fault is not None:
            return Denial(gate="fresh_quotes", values=fault)
    return Passed(gate="fresh_quotes", values={})


def spread(state: State, candidate: Candidate) -> Passed | Denial:
    """The book is two-sided and no wider than allowed."""
    assert candidate.quote is not None
    bps, most = candidate.quote.spread_bps(), state.settings.entries.spread_bps_max
    if bps is None:
        return Denial(gate="spread", values={"book": "one-sided", "max_bps": most})
    return _answer("spread", ok=bps <= most, values={"spread_bps": bps, "max_bps": most})


def plan(_state: State, candidate: Candidate) -> Passed | Denial:
    """A stop below the entry, its limit and a close-out exist: nothing is entered without."""
    if (
        candidate.plan is None
        or candidate.stop_limit_paise is None
        or candidate.limit_paise is None
    ):
        return Denial(gate="plan", values={"plan": "no valid stop"})
    values: Values = {
        "limit_paise": candidate.limit_paise,
        "stop_paise": candidate.plan.stop_paise,
        "stop_limit_paise": candidate.stop_limit_paise,
    }
    return _answer("plan", ok=candidate.stop_limit_paise < candidate.limit_paise, values=values)


def one_side(state: State, candidate: Candidate) -> Passed | Denial:
    """Nothing of the other side is held in the same key: the broker nets both to nothing (T4).

    By whom is the same: what others hold against it would be missing of ours from its first fill,
    and no order of ours could ever close that part. No acknowledgement changes it.
    """
    assert candidate.instrument is not None
    key = BrokerKey(candidate.instrument.id, candidate.product)
    for position in state.live:
        if position.key == key and position.side is not candidate.side:
            return Denial(gate="one_side", values={"position": position.number})
    others = outside(state, key) + state.extra.get(key, 0)
    is_free = others * candidate.side.sign >= 0
    return _answer("one_side", ok=is_free, values={} if is_free else {"others": others})


def funds(state: State, _candidate: Candidate) -> Passed | Denial:
    """Free cash is known and was read after the last fill (T19)."""
    is_fresh = state.funds_paise is not None and state.funds_at_fills == state.fills
    values: Values = {"funds_paise": state.funds_paise if is_fresh and state.funds_paise else 0}
    return _answer("funds", ok=is_fresh, values=values)


def daily_loss(state: State, _candidate: Candidate) -> Passed | Denial:
    """The day's net loss, every doubtful leg at its stop's limit, is above the limit (T17)."""
    worst, limit = worst_today_paise(state), state.settings.limits.loss_per_day_paise_max
    values: Values = {"worst_today_paise": worst, "limit_paise": limit}
    return _answer("daily_loss", ok=worst > -limit, values=values)


GATES: tuple[Gate, ...] = (
    halted,
    ready,
    drift,
    one_signal,
    daily_loss,
    positions_open,
    trades_per_day,
    cooldown,
    contract,
    entry_hours,
    fresh_quotes,
    spread,
    plan,
    one_side,
    funds,
)
"""Every gate, in the order asked; sizing comes after them (`entering.py`)."""


def pass_gates(state: State, candidate: Candidate) -> tuple[tuple[Passed, ...], Denial | None]:
    """Ask the gates in order: those passed, and the denial that ended it, if any."""
    passed: list[Passed] = []
    for gate in GATES:
        answer = gate(state, candidate)
        if isinstance(answer, Denial):
            return tuple(passed), answer
        passed.append(answer)
    return tuple(passed), None
