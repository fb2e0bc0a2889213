"""An explanation as plain text, from the candle to the charges."""

from collections.abc import Iterator

from holdfast.domain.audit import (
    EntryEnded,
    ExitDecided,
    FillsCorrected,
    LevelMoved,
    PositionClosed,
    PositionResumed,
    ProtectionLost,
    ProtectionVerified,
    ReducedOutside,
    StalePolicyActed,
)
from holdfast.domain.decision import Exit, ExitPlan, Intent, Sizing
from holdfast.domain.order import OrderTerms
from holdfast.research.explain import Explanation
from holdfast.research.stories import (
    Answered,
    AnyMoment,
    Asked,
    Failed,
    Heard,
    Looked,
    OrderStory,
    Turn,
)
from holdfast.research.text import (
    average,
    clock,
    clock_ms,
    figures,
    grouped,
    percent,
    rupees,
    span,
    table,
)


def render(explanation: Explanation) -> str:
    """All of it, ending in a line break. Money in rupees, times of day in India."""
    blocks = [_signal(explanation), _gates(explanation)]
    if explanation.intent is not None:
        blocks.append(_intent(explanation.intent, explanation.symbol or ""))
        if explanation.resumed is not None:
            blocks.append(_resumed(explanation.resumed))
        blocks += [_order(order) for order in explanation.orders]
        blocks.append(_moments(explanation))
    if explanation.closed is not None:
        blocks.append(_result(explanation.closed))
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _signal(explanation: Explanation) -> Iterator[str]:
    signal = explanation.signal
    yield (
        f"Signal s{explanation.number}, {clock(explanation.seen_at_ns)}: {signal.strategy} expects"
        f" {explanation.underlying} to go {signal.direction}"
    )
    yield f"  {signal.reason}"
    yield f"  candle from {clock(signal.candle_start_ns)}: {figures(signal.values)}"


def _gates(explanation: Explanation) -> Iterator[str]:
    yield "Gates"
    intent, denial = explanation.intent, explanation.denial
    rows = (
        [(passed.gate, "passed", figures(passed.values)) for passed in intent.passed]
        if intent
        else []
    )
    if denial is not None:
        rows.append((denial.gate, "DENIED", figures(denial.values)))
    yield from (f"  {line}" for line in table(("gate", "", "with"), rows, left=(0, 1, 2)))


def _intent(intent: Intent, symbol: str) -> Iterator[str]:
    yield (
        f"Position {intent.position}: {intent.side} {intent.quantity} {symbol},"
        f" {intent.product}, at {rupees(intent.limit_paise)} at worst"
    )
    yield f"  size: {_arithmetic(intent.sizing)}"
    yield f"  plan: {_plan(intent.plan)}"


def _resumed(told: PositionResumed) -> Iterator[str]:
    yield f"Carried from {told.day}, there position {told.earlier}, opened on {told.opened_day}"
    price = average(abs(told.cost_paise), abs(told.quantity))
    yield f"  {told.quantity} contracts at {price}, stop {rupees(told.stop_paise)}"


def _arithmetic(sizing: Sizing) -> str:
    """Every figure behind the quantity, so that it can be done again by hand."""
    each = abs(sizing.entry_limit_paise - sizing.stop_limit_paise)
    return (
        f"{sizing.lots} lots x {sizing.lot_size} x ({rupees(sizing.entry_limit_paise)} -"
        f" {rupees(sizing.stop_limit_paise)})"
        f" = {rupees(sizing.lots * sizing.lot_size * each)}, with charges"
        f" {rupees(sizing.charges_paise)} a loss of {rupees(sizing.loss_at_stop_paise)} at the"
        f" stop's limit; budget {rupees(sizing.budget_paise)}, free cash"
        f" {rupees(sizing.cash_paise)}; bound by {sizing.bound}"
    )


def _plan(plan: ExitPlan) -> str:
    target = "none" if plan.target_paise is None else rupees(plan.target_paise)
    trail = "none"
    if plan.trail is not None:
        giveback = percent(plan.trail.giveback_bps)
        trail = f"{giveback} behind the peak once at {rupees(plan.trail.arm_paise)}"
    return (
        f"stop {rupees(plan.stop_paise)}, target {target}, trailing {trail},"
        f" closed from {clock(plan.close_out_ns)} on"
    )


def _order(order: OrderStory) -> Iterator[str]:
    yield f"Order {order.order_id}, {order.purpose.name.lower()}"
    yield from (f"  {clock_ms(turn.at_ns)}  {_turn(turn)}" for turn in order.turns)


def _turn(turn: Turn) -> str:
    match turn:
        case Asked(action=action, terms=terms):
            return f"we ask: {action}" + (f" {_terms(terms)}" if terms else "")
        case Looked():
            return f"we read it, {grouped(turn.times)} times until {clock(turn.until_ns)}"
        case Answered():
            return f"the broker's number is {turn.broker_id}"
        case Failed():
            return f"{turn.action} {turn.outcome.replace('_', ' ')}: {turn.reason}"
        case Heard():
            return _heard(turn)


def _terms(terms: OrderTerms) -> str:
    trigger = "" if terms.trigger_paise is None else f" trigger {rupees(terms.trigger_paise)}"
    return f"{terms.side} {terms.quantity}{trigger} limit {rupees(terms.limit_paise)}"


def _heard(heard: Heard) -> str:
    filled = ""
    if heard.filled_quantity:
        price = average(heard.filled_value_paise, heard.filled_quantity)
        filled = f", {heard.filled_quantity} filled at {price}"
    reason = f", {heard.reason}" if heard.reason else ""
    stamp = f" (exchange {clock(heard.venue_at_ns)})"
    return f"{heard.status}: {_terms(heard.terms)}{filled}{reason}{stamp}"


def _moments(explanation: Explanation) -> Iterator[str]:
    yield "Protection, levels and exit"
    if not explanation.moments:
        yield "  nothing yet"
    for moment in explanation.moments:
        yield f"  {clock_ms(moment.at_ns)}  {_moment(moment.audit)}"


def _moment(audit: AnyMoment) -> str:  # noqa: C901, PLR0911 one answer for each kind
    match audit:
        case ProtectionVerified():
            return (
                f"stop seen at the broker: {audit.quantity} trigger {rupees(audit.trigger_paise)}"
                f" limit {rupees(audit.limit_paise)}"
            )
        case ProtectionLost():
            return f"no stop at the broker: {audit.reason}"
        case LevelMoved():
            return f"peak {rupees(audit.peak_paise)} moves the stop to {rupees(audit.stop_paise)}"
        case StalePolicyActed():
            return f"stale price, {audit.action}: {figures(audit.values)}"
        case ExitDecided():
            return f"exit: {_exit(audit.exit)}"
        case EntryEnded():
            return f"the entry ended without a fill: {audit.reason}"
        case ReducedOutside():
            return _reduced(audit)
        case PositionClosed():
            return f"closed by {audit.rule}"
        case FillsCorrected():
            price = average(audit.value_paise, audit.quantity)
            return f"the trade book tells the price of {audit.order_id}: {price}"


def _reduced(audit: ReducedOutside) -> str:
    price = average(audit.value_paise, audit.quantity)
    order = f" ({audit.order})" if audit.order else ""
    return f"{audit.reason}{order}: {audit.side} {audit.quantity} at {price}"


def _exit(decided: Exit) -> str:
    level = "" if decided.level_paise is None else f", level {rupees(decided.level_paise)}"
    price = "" if decided.price_paise is None else f", price {rupees(decided.price_paise)}"
    told = f", {figures(decided.values)}" if decided.values else ""
    return f"{decided.rule}{level}{price}{told}"


def _result(closed: PositionClosed) -> Iterator[str]:
    yield f"Result, closed by {closed.rule}"
    yield (
        f"  {clock(closed.opened_at_ns)} in at"
        f" {average(closed.entry_value_paise, closed.quantity)},"
        f" {clock(closed.closed_at_ns)} out at"
        f" {average(closed.exit_value_paise, closed.quantity)}, {closed.quantity} contracts"
    )
    yield (
        f"  unprotected {span(closed.unprotected_ns)},"
        f" without a stop at the broker {span(closed.without_stop_ns)}"
    )
    rows = [("gross", rupees(closed.gross_paise))]
    rows += [(f"- {name}", rupees(paise)) for name, paise in closed.charges.items()]
    rows.append(("net", rupees(closed.net_paise)))
    yield from (f"  {line}" for line in table(("", ""), rows)[1:])
