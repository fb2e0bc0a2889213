"""A signal on its way in: the contract chosen for it, its prices and plan, before any gate."""

import msgspec

from holdfast.core.market.quotes import Quote
from holdfast.core.options.strikes import choose, option_type_for
from holdfast.core.risk.levels import stop_limit_paise
from holdfast.core.settings import MINUTE_NS, SECOND_NS
from holdfast.core.state import State
from holdfast.domain.decision import ExitPlan, Signal, Trail
from holdfast.domain.instrument import Instrument, Product
from holdfast.domain.order import Side

BEFORE_END_NS = 15 * MINUTE_NS
BEFORE_BROKER_NS = 5 * MINUTE_NS


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """What the gates look at. `instrument` and what hangs on it are `None` until chosen.

    `limit_paise` is the worst price paid, `stop_limit_paise` where the stop may fill at worst.
    """

    signal: Signal
    underlying: Quote
    instrument: Instrument | None
    quote: Quote | None
    product: Product
    side: Side
    limit_paise: int | None
    stop_limit_paise: int | None
    plan: ExitPlan | None


def form(state: State, signal: Signal) -> Candidate:
    """Choose the contract and work out prices and plan, as far as the market allows.

    UP buys the call at the money, DOWN the put; whether a position gains depends on its side only.
    """
    underlying = state.quote(signal.underlying)
    entries = state.settings.entries
    instrument = None
    if underlying.last_paise > 0:
        instrument = choose(
            tuple(state.instruments.values()),
            underlying.instrument.underlying,
            spot_paise=underlying.last_paise,
            option_type=option_type_for(signal.direction),
            offset=entries.strike_offset,
            day=state.settings.day,
        )
    quote = None if instrument is None else state.quote(instrument.id)
    limit, stop_limit, plan = None, None, None
    if instrument is not None and quote is not None and quote.ask_paise is not None:
        limit = instrument.round_down(quote.ask_paise * (10_000 + entries.chase_bps) // 10_000)
        plan = plan_of(state, instrument, reference_paise=quote.ask_paise)
        if plan is not None:
            stop_limit = _stop_limit(state, instrument, quote, plan.stop_paise)
    return Candidate(
        signal=signal,
        underlying=underlying,
        instrument=instrument,
        quote=quote,
        product=entries.product,
        side=Side.BUY,
        limit_paise=limit,
        stop_limit_paise=stop_limit,
        plan=plan,
    )


def plan_of(state: State, instrument: Instrument, *, reference_paise: int) -> ExitPlan | None:
    """The exit plan of a long bought around `reference_paise`; `None` without session or stop."""
    session = state.session(instrument.exchange)
    exits = state.settings.exits
    stop = instrument.round_down(reference_paise * (10_000 - exits.stop_bps) // 10_000)
    if session is None or stop < 2 * instrument.price_step_paise:
        return None
    target = None
    if exits.target_bps:
        target = instrument.round_up(reference_paise * (10_000 + exits.target_bps) // 10_000)
    trail = None
    if exits.trail_arm_bps:
        arm = reference_paise * (10_000 + exits.trail_arm_bps) // 10_000
        trail = Trail(arm_paise=arm, giveback_bps=exits.trail_giveback_bps)
    return ExitPlan(
        stop_paise=stop,
        target_paise=target,
        trail=trail,
        close_out_ns=close_out_ns(state, instrument),
    )


def close_out_ns(state: State, instrument: Instrument) -> int:
    """When positions are closed: the time set, but before the session's end and the broker's own.

    At least a quarter of an hour before the session ends, at least five minutes before the
    broker's square-off (T11).
    """
    session = state.session(instrument.exchange)
    assert session is not None
    midnight_ns = day_start_ns(session.open_ns)
    return min(
        midnight_ns + state.settings.exits.close_out_s * SECOND_NS,
        session.close_ns - BEFORE_END_NS,
        session.square_off_ns - BEFORE_BROKER_NS,
    )


def cutoff_ns(state: State, instrument: Instrument) -> int:
    """From when on nothing is entered: the time set, but before the close-out."""
    session = state.session(instrument.exchange)
    assert session is not None
    set_ns = day_start_ns(session.open_ns) + state.settings.entries.cutoff_s * SECOND_NS
    return min(set_ns, close_out_ns(state, instrument))


def start_ns(state: State, instrument: Instrument) -> int:
    """Before when nothing is entered."""
    session = state.session(instrument.exchange)
    assert session is not None
    return day_start_ns(session.open_ns) + state.settings.entries.start_s * SECOND_NS


def day_start_ns(at_ns: int) -> int:
    """Midnight IST (UTC+5:30, no daylight saving) of the day that holds `at_ns`."""
    offset_ns = 19_800 * SECOND_NS
    return (at_ns + offset_ns) // (86_400 * SECOND_NS) * (86_400 * SECOND_NS) - offset_ns


def _stop_limit(state: State, instrument: Instrument, quote: Quote, stop_paise: int) -> int:
    return stop_limit_paise(
        instrument,
        sign=1,
        trigger_paise=stop_paise,
        extremes=quote.extremes(state.now_ns),
        rules=state.price_rules(instrument),
        distance_bps=state.settings.exits.stop_limit_bps,
    )
