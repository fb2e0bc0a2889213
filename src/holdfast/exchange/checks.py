"""What is asked of every order before it may rest or trade, in the order in which it is asked.

The broker checks first and answers no at once; the exchange checks later and its no stands in the
order's row. Both check modifications too. `CHECKS` is the registry.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec

from holdfast.domain.dated import DayFacts
from holdfast.domain.instrument import Instrument, Product
from holdfast.domain.order import OrderTerms, OrderType, Refusal, Side
from holdfast.exchange.order import LiveOrder


class ModifyBehaviour(StrEnum):
    """What the broker makes of a modification of a resting stop into a limit order (2.11).

    IGNORES answers yes and changes nothing.
    """

    ACCEPTS = "accepts"
    REFUSES = "refuses"
    IGNORES = "ignores"


class SelfTrade(StrEnum):
    """Which of two orders of one owner dies when they would trade with each other (T6, T29).

    LATER: the one that comes. RESTING: the one that is there.
    """

    LATER = "later"
    RESTING = "resting"


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between brokers, and what a test wants to be otherwise.

    Nothing matches on a book that was told longer than `quote_age_ns_max` ago.
    """

    stop_to_limit: ModifyBehaviour = ModifyBehaviour.ACCEPTS
    self_trade: SelfTrade = SelfTrade.LATER
    quote_age_ns_max: int = 5_000_000_000
    modifications_max: int = 25


class Judge(StrEnum):
    """Who checks: the broker before the exchange hears of the order, or the exchange."""

    BROKER = "broker"
    EXCHANGE = "exchange"


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """Terms that somebody asks for, and all that a check may look at.

    `current` is the order to be modified, `meets` an order of ours on the other side that these
    terms would trade with. `need_paise` is the cash that they hold back, `free_paise` what is free,
    both without `current`. Prices are paise, `None` where nothing has traded yet.
    """

    terms: OrderTerms
    at_ns: int
    facts: DayFacts
    contract: Instrument | None
    behaviour: Behaviour = Behaviour()
    current: LiveOrder | None = None
    last_paise: int | None = None
    reference_paise: int | None = None
    meets: LiveOrder | None = None
    need_paise: int = 0
    free_paise: int = 0

    @property
    def listed(self) -> Instrument:
        """The contract, for checks that stand after `is_listed`."""
        assert self.contract is not None, "an unknown contract is refused first"
        return self.contract


def is_listed(proposal: Proposal) -> str | None:
    """The master knows the contract, and it can be traded."""
    contract = proposal.contract
    if contract is None:
        return f"Contract {proposal.terms.instrument} is not in today's master"
    if contract.price_step_paise == 0:
        return f"{contract.symbol} cannot be traded"
    return None


def is_open(proposal: Proposal) -> str | None:
    """The market is in continuous trading."""
    session = proposal.facts.session(proposal.listed.exchange)
    if session is None or not session.is_open(proposal.at_ns):
        return f"{proposal.listed.exchange} market is closed"
    return None


def takes_product(proposal: Proposal) -> str | None:
    """INTRADAY orders end when the broker begins to square off."""
    session = proposal.facts.session(proposal.listed.exchange)
    is_intraday = proposal.terms.product is Product.INTRADAY
    if is_intraday and session is not None and proposal.at_ns >= session.square_off_ns:
        return "Intraday orders are not allowed after the square-off time"
    return None


def is_modifiable(proposal: Proposal) -> str | None:
    """The order is still live, has modifications left and stays what and where it is."""
    order = proposal.current
    if order is None:
        return None
    terms, wanted = order.terms, proposal.terms
    if not order.is_live:
        return f"Order is {order.status}"
    if order.modifications >= proposal.behaviour.modifications_max:
        return f"Order was modified {order.modifications} times, no more are allowed"
    if (terms.instrument, terms.product, terms.side) != (
        wanted.instrument,
        wanted.product,
        wanted.side,
    ):
        return "Contract, product and side of an order cannot be modified"
    if wanted.order_type is OrderType.STOP_LIMIT and not order.is_stop:
        return "Order is in the book and cannot become a stop"
    return None


def keeps_type(proposal: Proposal) -> str | None:
    """A stop may become a limit order, where the broker takes that."""
    order = proposal.current
    refuses = proposal.behaviour.stop_to_limit is ModifyBehaviour.REFUSES
    if order is not None and refuses and order.is_stop and proposal.terms.trigger_paise is None:
        return "Incorrect request for order and cannot be processed"
    return None


def is_whole_lots(proposal: Proposal) -> str | None:
    """Contracts are traded in whole lots."""
    lot = proposal.listed.lot_size
    if proposal.terms.quantity % lot:
        return f"Quantity {proposal.terms.quantity} is not a multiple of the lot size {lot}"
    return None


def is_below_freeze(proposal: Proposal) -> str | None:
    """The freeze quantity is the first that is refused; none known bars trading."""
    freeze = proposal.listed.freeze_quantity
    if proposal.terms.quantity >= freeze:
        return f"Quantity {proposal.terms.quantity} is not below the freeze quantity {freeze}"
    return None


def covers_fills(proposal: Proposal) -> str | None:
    """A modified quantity is the total: it cannot undo what has filled."""
    filled = 0 if proposal.current is None else proposal.current.filled_quantity
    if proposal.terms.quantity < filled:
        return f"Quantity {proposal.terms.quantity} is below the {filled} already traded"
    return None


def is_on_step(proposal: Proposal) -> str | None:
    """Limit and trigger lie on the contract's price step."""
    step = proposal.listed.price_step_paise
    for price in (proposal.terms.limit_paise, proposal.terms.trigger_paise):
        if price is not None and price % step:
            return f"Price {rupees(price)} is not a multiple of the tick size {rupees(step)}"
    return None


def is_funded(proposal: Proposal) -> str | None:
    """What the order holds back is free; an order that holds nothing back is always funded."""
    need, free = proposal.need_paise, proposal.free_paise
    if need > max(free, 0):
        return f"Insufficient funds: required {rupees(need)}, available {rupees(free)}"
    return None


def is_before_trigger(proposal: Proposal) -> str | None:
    """The last price has not reached the trigger already."""
    terms, last = proposal.terms, proposal.last_paise
    if terms.trigger_paise is None or last is None:
        return None
    if (terms.trigger_paise - last) * terms.side.sign > 0:
        return None
    word = "above" if terms.side is Side.BUY else "below"
    return f"Trigger {rupees(terms.trigger_paise)} is not {word} the last price {rupees(last)}"


def is_near_trigger(proposal: Proposal) -> str | None:
    """A stop's limit lies behind its trigger, and not too far (T1)."""
    terms = proposal.terms
    if terms.trigger_paise is None:
        return None
    behind = (terms.limit_paise - terms.trigger_paise) * terms.side.sign
    rules = proposal.facts.price_rules(proposal.listed.exchange)
    allowed = rules.stop_distance(terms.trigger_paise)
    if 0 <= behind <= allowed:
        return None
    return (
        f"Limit {rupees(terms.limit_paise)} must lie at most {rupees(allowed)} behind "
        f"the trigger {rupees(terms.trigger_paise)}"
    )


def is_in_band(proposal: Proposal) -> str | None:
    """Limit price protection; a stop's limit is judged when it enters the book (T1)."""
    terms, reference = proposal.terms, proposal.reference_paise
    if terms.order_type is OrderType.STOP_LIMIT or reference is None:
        return None
    low, high = proposal.facts.price_rules(proposal.listed.exchange).band(reference)
    if low <= terms.limit_paise <= high:
        return None
    return f"Price {rupees(terms.limit_paise)} is outside of {rupees(low)} to {rupees(high)}"


def meets_no_own(proposal: Proposal) -> str | None:
    """Self-trade prevention, where it is the later of two orders of one owner that dies."""
    if proposal.meets is None or proposal.behaviour.self_trade is SelfTrade.RESTING:
        return None
    return f"Self trade with order {proposal.meets.broker_id}"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the registry. `objection` answers with the text of the no, or `None`.

    `at_trigger`: asked again when a stop is released into the book.
    """

    objection: Callable[[Proposal], str | None]
    refusal: Refusal
    judge: Judge
    at_trigger: bool = False


# fmt: off
CHECKS = (
    Check(objection=is_listed,         refusal=Refusal.OTHER,            judge=Judge.BROKER),
    Check(objection=is_open,           refusal=Refusal.CLOSED_MARKET,    judge=Judge.BROKER),
    Check(objection=takes_product,     refusal=Refusal.CLOSED_MARKET,    judge=Judge.BROKER),
    Check(objection=is_modifiable,     refusal=Refusal.NOT_MODIFIABLE,   judge=Judge.BROKER),
    Check(objection=keeps_type,        refusal=Refusal.OTHER,            judge=Judge.BROKER),
    Check(objection=is_whole_lots,     refusal=Refusal.QUANTITY,         judge=Judge.BROKER),
    Check(objection=is_below_freeze,   refusal=Refusal.QUANTITY,         judge=Judge.BROKER),
    Check(objection=covers_fills,      refusal=Refusal.QUANTITY,         judge=Judge.BROKER),
    Check(objection=is_on_step,        refusal=Refusal.OTHER,            judge=Judge.BROKER),
    Check(objection=is_funded,         refusal=Refusal.FUNDS,            judge=Judge.BROKER),
    Check(objection=is_before_trigger, refusal=Refusal.BEYOND_TRIGGER,   judge=Judge.EXCHANGE),
    Check(objection=is_near_trigger,   refusal=Refusal.TRIGGER_DISTANCE, judge=Judge.EXCHANGE),
    Check(objection=is_in_band,        refusal=Refusal.BAND,             judge=Judge.EXCHANGE,
          at_trigger=True),
    Check(objection=meets_no_own,      refusal=Refusal.SELF_TRADE,       judge=Judge.EXCHANGE,
          at_trigger=True),
)
# fmt: on

AT_TRIGGER = tuple(check for check in CHECKS if check.at_trigger)


class Objection(msgspec.Struct, frozen=True, kw_only=True):
    """The first no: who says it, its class, and the text that a person reads."""

    judge: Judge
    refusal: Refusal
    text: str


def first_objection(proposal: Proposal, checks: Sequence[Check] = CHECKS) -> Objection | None:
    """Ask one after the other and stop at the first no."""
    for check in checks:
        text = check.objection(proposal)
        if text is not None:
            return Objection(judge=check.judge, refusal=check.refusal, text=text)
    return None


def rupees(price_paise: int) -> str:
    """Paise as people write a price: 12345 is 123.45."""
    sign, whole = "-" if price_paise < 0 else "", abs(price_paise)
    return f"{sign}{whole // 100}.{whole % 100:02d}"
