"""Looking at every open position: on each of its packets, and once a second without any.

A packet between the position's levels costs a few comparisons; everything else runs the rules in
order. Both ways decide the same: the levels are compiled from the rules' own.
"""

from collections.abc import Sequence

from holdfast.core import readiness, settlement
from holdfast.core.books.positions import Position
from holdfast.core.market import watch
from holdfast.core.market.quotes import Quote
from holdfast.core.risk import closing, leaving, limits, protection, touch
from holdfast.core.risk.exits import ExitRule, Failure, MarketView, best_closing, first_exit
from holdfast.core.risk.halt import raise_halt
from holdfast.core.risk.levels import compile_levels, is_beyond, move_peak
from holdfast.core.settings import SECOND_NS
from holdfast.core.state import State
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.audit import LevelMoved, RuleFailed
from holdfast.domain.decision import HaltLevel
from holdfast.domain.market import Tick
from holdfast.domain.order import Side


def is_quiet(position: Position, quote: Quote, tick: Tick) -> bool:
    """Whether a packet cannot make any rule fire, move a peak or begin or end a wait."""
    closing_paise = quote.bid_paise if position.sign > 0 else quote.ask_paise
    if closing_paise is None or tick.count > 1 or position.exit is not None:
        return False
    if position.sign > 0:
        floor = position.floor_paise
        return floor < closing_paise <= position.ceiling_paise and tick.last_paise > floor
    ceiling = position.ceiling_paise
    return position.floor_paise <= closing_paise < ceiling and tick.last_paise < ceiling


def on_packet(
    state: State, rules: Sequence[ExitRule], position: Position, quote: Quote, tick: Tick
) -> None:
    """Look at a position because its instrument's quote changed."""
    if position.stale_since_ns is None and is_quiet(position, quote, tick):
        position.evaluated_at_ns = state.now_ns
        return
    evaluate(state, rules, position, tick)


def sweep(state: State, rules: Sequence[ExitRule]) -> None:
    """Look at every position, packets or not, and come back in a second (RSK-4)."""
    watch.ask_quiet(state)
    for position in tuple(state.live):
        if position.is_open:
            limits.mark_charges(state, position)
            watch.watch_held(state, position)
            evaluate(state, rules, position, None)
    watch_account(state, rules, is_fresh_packet=False)
    if any(position.is_open for position in state.live):
        state.timers.set_earlier(TimerKey(Rank.SWEEP), state.now_ns + SECOND_NS)


def mark_held(
    state: State, rules: Sequence[ExitRule], quote: Quote, held: Sequence[Position]
) -> None:
    """Mark the positions of one instrument by its packet, and judge the day's loss (T17).

    A late feed, a one-sided book and what was traded before the day's opening mark nothing.
    """
    bid, ask = quote.bid_paise, quote.ask_paise
    if bid is None or ask is None or state.is_before_open(quote.instrument.exchange):
        return
    if quote.connection.fault(state.now_ns, state.settings.freshness) is not None:
        return
    for position in held:
        limits.mark(state, position, bid if position.closing_side is Side.SELL else ask)
    watch_account(state, rules, is_fresh_packet=True)


def watch_account(state: State, rules: Sequence[ExitRule], *, is_fresh_packet: bool) -> None:
    """Judge the daily loss; once believed it halts the account and closes everything."""
    if limits.watch_loss(state, is_fresh_packet=is_fresh_packet):
        net = limits.net_today_paise(state)
        raise_halt(state, HaltLevel.PAUSE, f"daily loss limit reached: net {net} paise")
        for position in tuple(state.live):
            evaluate(state, rules, position, None)


def evaluate(
    state: State, rules: Sequence[ExitRule], position: Position, tick: Tick | None
) -> None:
    """Run the rules on one position, take their decision, and bring its orders in line."""
    if position.is_open and position.exit is None:
        _decide(state, rules, position, tick)
    position.evaluated_at_ns = state.now_ns
    if position.is_open and position.exit is None:
        compile_levels(position)
        _set_waits(state, position)
    closing.tend(state, position)
    protection.keep_clocks(state, position)


def _decide(state: State, rules: Sequence[ExitRule], position: Position, tick: Tick | None) -> None:
    quote = state.quote(position.id)
    touched: int | None = None
    if state.is_before_open(position.instrument.exchange):
        tick = None  # no price of before the opening touches anything (T24)
    else:
        touched = _touched(state, position, quote, tick)
    view = _view(state, position, quote, tick, touched)
    if leaving.is_hedge(state, position):
        rules = [rule for rule in rules if rule.name in leaving.HEDGE_RULES]
    exit_, failures = first_exit(rules, position, view)
    if exit_ is None and tick is not None and _move_peak(state, position, view):
        # The new level is tested against this packet's last trade (decisions 4.4).
        price = tick.last_paise if quote.traded else None
        if price is not None and is_beyond(position.sign, price, position.stop_paise):
            exit_, more = first_exit(rules, position, _view(state, position, quote, tick, price))
            failures += more
    _report(state, position, failures)
    if exit_ is not None:
        closing.decide(state, position, exit_)


def _touched(state: State, position: Position, quote: Quote, tick: Tick | None) -> int | None:
    now = state.now_ns
    if tick is None:
        spike = touch.confirmed_spike(position, quote, now)
        return spike if spike is not None else touch.stood_beyond(position, quote, now)
    return touch.note_packet(
        position,
        quote,
        now_ns=now,
        rules=state.price_rules(position.instrument),
        spread_bps_max=state.settings.entries.spread_bps_max,
    )


def _view(
    state: State, position: Position, quote: Quote, tick: Tick | None, touched: int | None
) -> MarketView:
    limits_ = state.settings.freshness
    return MarketView(
        now_ns=state.now_ns,
        quote=quote,
        tick=tick,
        fault=quote.fault(state.now_ns, limits_),
        touched_paise=touched,
        read_is_fresh=quote.has_read(state.now_ns, limits_),
        unprotected_ns=_unprotected_ns(state, position),
        may_stay=settlement.may_stay(state, position),
        is_bereft=leaving.is_bereft(state, position),
        halt=state.halt,
        loss_confirmed=state.loss.is_confirmed,
        net_today_paise=limits.net_today_paise(state) if state.loss.is_confirmed else 0,
    )


def _unprotected_ns(state: State, position: Position) -> int:
    """For how long nothing has protected a position; 0 where something does again by now.

    A process that has only begun is given the time that a stop needs.
    """
    since_ns = position.unprotected_since_ns
    if since_ns is None or position.verified or protection.is_local_rule_live(state, position):
        return 0
    return readiness.open_for_ns(state, position, max(since_ns, state.book.began_ns))


def _move_peak(state: State, position: Position, view: MarketView) -> bool:
    best = best_closing(position, view)
    if best is None or not move_peak(position, best):
        return False
    state.tell(
        LevelMoved(
            position=position.number,
            peak_paise=position.peak_paise or 0,
            stop_paise=position.stop_paise,
        )
    )
    return True


def _report(state: State, position: Position, failures: Sequence[Failure]) -> None:
    """A rule that raised halts entries; the others went on."""
    for failure in failures:
        state.tell(RuleFailed(name=failure.rule, position=position.number, error=failure.error))
        state.rules_failed = True
        raise_halt(state, HaltLevel.PAUSE, f"rule {failure.rule} failed: {failure.error}")


def _set_waits(state: State, position: Position) -> None:
    """Come back when a spike would be confirmed or a closing side has stood long enough."""
    if position.spike_at_ns is not None:
        key = TimerKey(Rank.POSITION, position.number, "spike")
        state.timers.set(key, position.spike_at_ns + touch.SPIKE_NS)
    if position.beyond_since_ns is not None:
        ends_ns = position.beyond_since_ns + touch.BEYOND_NS
        if ends_ns > state.now_ns:
            state.timers.set(TimerKey(Rank.POSITION, position.number, "beyond"), ends_ns)
