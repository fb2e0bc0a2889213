"""When a position must be closed: one ordered tuple of rules, first match wins.

A rule is a value that is called with a position and a view of the market and answers with an
`Exit` or `None`. Rules decide; `closing.py` executes. A rule that raises is a bug: it is never
taken for "no exit" (decisions 2.4).
"""

from collections.abc import Sequence
from typing import ClassVar, Protocol

import msgspec

from holdfast.core.books.positions import Position
from holdfast.core.market.quotes import Quote
from holdfast.core.settings import SECOND_NS, EngineSettings
from holdfast.domain.decision import Exit, HaltLevel, Values
from holdfast.domain.market import Tick


class MarketView(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule may look at: the held instrument's quote and the account's state.

    `fault` says why the quote is not fresh. `touched_paise` is the price that touched the stop in
    this step (T18), `None` when none did. `tick` is the packet of this step, `None` in a sweep.
    `read_is_fresh`: a quote read outside the feed is young enough to close on. `unprotected_ns` is
    for how long nothing has protected the position while its exchange was open (T9). `may_stay`:
    the close-out does not concern the position (T24); `is_bereft`: every short leg that it was
    there for has ended (T12).
    """

    now_ns: int
    quote: Quote
    tick: Tick | None
    fault: str | None
    touched_paise: int | None
    read_is_fresh: bool
    unprotected_ns: int = 0
    may_stay: bool = False
    is_bereft: bool = False
    halt: HaltLevel
    loss_confirmed: bool
    net_today_paise: int


class ExitRule(Protocol):
    """One rule. `always` rules close the position if they themselves fail (decisions 2.4)."""

    name: ClassVar[str]
    always: ClassVar[bool]

    def __call__(self, position: Position, market: MarketView, /) -> Exit | None:
        """The decision for one position, now."""
        ...


class KillSwitch(msgspec.Struct, frozen=True):
    """Close everything once a person or a limit asked for a flat account."""

    name: ClassVar[str] = "kill_switch"
    always: ClassVar[bool] = True

    def __call__(self, position: Position, market: MarketView, /) -> Exit | None:
        if market.halt not in (HaltLevel.FLATTEN, HaltLevel.PANIC):
            return None
        return Exit(
            rule=self.name, values={"halt": market.halt.value, "held": position.open_quantity}
        )


class CloseOut(msgspec.Struct, frozen=True):
    """Close before the session ends, always before the broker would."""

    name: ClassVar[str] = "close_out"
    always: ClassVar[bool] = True

    def __call__(self, position: Position, market: MarketView, /) -> Exit | None:
        if market.now_ns < position.plan.close_out_ns or market.may_stay:
            return None
        return Exit(rule=self.name, price_paise=market.quote.closing_paise(position.sign))


class DailyLoss(msgspec.Struct, frozen=True):
    """Close once the day's net loss has reached the account's limit (confirmed by T17)."""

    loss_paise_max: int
    name: ClassVar[str] = "daily_loss"
    always: ClassVar[bool] = True

    def __call__(self, position: Position, market: MarketView, /) -> Exit | None:
        if not market.loss_confirmed:
            return None
        net = market.net_today_paise
        values: Values = {"net_today_paise": net, "limit_paise": self.loss_paise_max}
        if position.mark_paise is not None:
            values = {**values, "mark_paise": position.mark_paise}  # one of those that decided
        return Exit(
            rule=self.name,
            price_paise=market.quote.closing_paise(position.sign),
            values=values,
        )


class Unprotected(msgspec.Struct, frozen=True):
    """Close what neither a stop at the broker nor a rule of ours that could act protects (T9)."""

    after_ns: int
    name: ClassVar[str] = "unprotected"
    always: ClassVar[bool] = True

    def __call__(self, position: Position, market: MarketView, /) -> Exit | None:
        if market.unprotected_ns < self.after_ns:
            return None
        return Exit(
            rule=self.name,
            price_paise=market.quote.closing_paise(position.sign),
            values={"unprotected_ms": market.unprotected_ns // 1_000_000},
        )


class StalePrice(msgspec.Struct, frozen=True):
    """Close on a quote read outside the feed when the feed stays stale too long (T16).

    It holds while a verified stop rests at the broker, longer than without. With no price from
    either source it does nothing: the resting stop is left alone.
    """

    with_stop_ns: int
    without_stop_ns: int
    name: ClassVar[str] = "stale_price"
    always: ClassVar[bool] = False

    def __call__(self, position: Position, market: MarketView, /) -> Exit | None:
        since = position.stale_since_ns
        if market.fault is None or since is None or not market.read_is_fresh:
            return None
        bound_ns = self.with_stop_ns if position.verified else self.without_stop_ns
        if market.now_ns - since < bound_ns:
            return None
        return Exit(
            rule=self.name,
            price_paise=market.quote.closing_paise(position.sign),
            values={"stale_ms": (market.now_ns - since) // 1_000_000, "fault": market.fault},
        )


class StopLoss(msgspec.Struct, frozen=True):
    """Close when the price touched the planned stop."""

    name: ClassVar[str] = "stop_loss"
    always: ClassVar[bool] = True

    def __call__(self, position: Position, market: MarketView, /) -> Exit | None:
        if market.touched_paise is None or position.stop_paise != position.plan.stop_paise:
            return None
        return Exit(
            rule=self.name, level_paise=position.stop_paise, price_paise=market.touched_paise
        )


class TakeProfit(msgspec.Struct, frozen=True):
    """Close when the closing side of a fresh quote reached the target."""

    name: ClassVar[str] = "take_profit"
    always: ClassVar[bool] = False

    def __call__(self, position: Position, market: MarketView, /) -> Exit | None:
        target = position.plan.target_paise
        price = best_closing(position, market)
        if target is None or price is None or position.sign * price < position.sign * target:
            return None
        return Exit(rule=self.name, level_paise=target, price_paise=price)


class Structure(msgspec.Struct, frozen=True):
    """Close a long leg once every short leg that it covered has ended (T12)."""

    name: ClassVar[str] = "structure"
    always: ClassVar[bool] = False

    def __call__(self, position: Position, market: MarketView, /) -> Exit | None:
        if not market.is_bereft:
            return None
        return Exit(rule=self.name, values={"structure": position.intent.structure or 0})


class TrailingStop(msgspec.Struct, frozen=True):
    """Close when the price touched the stop after the peak had moved it."""

    name: ClassVar[str] = "trailing_stop"
    always: ClassVar[bool] = False

    def __call__(self, position: Position, market: MarketView, /) -> Exit | None:
        if market.touched_paise is None or position.stop_paise == position.plan.stop_paise:
            return None
        return Exit(
            rule=self.name,
            level_paise=position.stop_paise,
            price_paise=market.touched_paise,
            values={"peak_paise": position.peak_paise or 0},
        )


def best_closing(position: Position, market: MarketView) -> int | None:
    """The best closing-side price of this step's packet on a fresh quote; merged highs count."""
    if market.fault is not None or market.tick is None:
        return None
    tick = market.tick
    if position.sign > 0:
        return tick.bid_paise if tick.bid_high_paise is None else tick.bid_high_paise
    return tick.ask_paise if tick.ask_low_paise is None else tick.ask_low_paise


RULES: tuple[type[ExitRule], ...] = (
    KillSwitch,
    CloseOut,
    DailyLoss,
    StalePrice,
    StopLoss,
    Unprotected,
    TakeProfit,
    TrailingStop,
    Structure,
)
"""Every rule, in order of priority."""


def build_rules(settings: EngineSettings) -> tuple[ExitRule, ...]:
    """The rules with their settings, in order of priority."""
    exits = settings.exits
    return (
        KillSwitch(),
        CloseOut(),
        DailyLoss(loss_paise_max=settings.limits.loss_per_day_paise_max),
        StalePrice(
            with_stop_ns=exits.stale_with_stop_s * SECOND_NS,
            without_stop_ns=exits.stale_without_stop_s * SECOND_NS,
        ),
        StopLoss(),
        Unprotected(after_ns=settings.guards.unprotected_s * SECOND_NS),
        TakeProfit(),
        TrailingStop(),
        Structure(),
    )


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A rule raised."""

    rule: str
    error: str


def first_exit(
    rules: Sequence[ExitRule], position: Position, market: MarketView
) -> tuple[Exit | None, tuple[Failure, ...]]:
    """The first rule that fires wins. Those that raised are returned with their error.

    If a rule that must always work raises, or one raises in two steps running, the position is
    closed under `rule_failed:NAME` unless a rule before it fired.
    """
    failures: list[Failure] = []
    found: Exit | None = None
    for rule in rules:
        try:
            found = rule(position, market)
        except Exception as error:  # one of the three places of decisions 2.4
            failures.append(Failure(rule=rule.name, error=f"{type(error).__name__}: {error}"))
            if rule.always or rule.name in position.rules_raised:
                found = Exit(rule=f"rule_failed:{rule.name}")
        if found is not None:
            break
    position.rules_raised = tuple(failure.rule for failure in failures)
    return found, tuple(failures)
