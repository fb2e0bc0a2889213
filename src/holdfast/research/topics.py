"""The folds behind a report: each topic takes every record and keeps what concerns it."""

from collections import Counter
from typing import NamedTuple, Protocol

import msgspec

from holdfast.domain.audit import (
    Anomaly,
    Denied,
    EntriesBlocked,
    EntryEnded,
    EntryFilled,
    FillsCorrected,
    Halted,
    IntentFormed,
    PositionClosed,
    PositionOpened,
    PositionResumed,
    QuotesFresh,
    QuotesStale,
    RuleFailed,
    SignalSeen,
    StalePolicyActed,
)
from holdfast.domain.command import AnyCommand, CancelOrder, ModifyOrder, PlaceOrder
from holdfast.domain.decision import Intent
from holdfast.domain.event import (
    Action,
    InstrumentsLoaded,
    JournalEvent,
    OrderUpdated,
    Outcome,
    Restarted,
    SendFailed,
)
from holdfast.domain.instrument import InstrumentId
from holdfast.domain.order import BrokerStatus, OrderId
from holdfast.research.parts import (
    Blocked,
    Exposure,
    Failure,
    HaltChange,
    Oddity,
    OpenPosition,
    Outage,
    Run,
    StaleAct,
    StaleInstrument,
    Trade,
    UnfilledEntry,
    Work,
)
from holdfast.store.records import Decided, TapeRange


class Topic(Protocol):
    """Something that is told by folding records in order."""

    def take_event(self, event: JournalEvent) -> None:
        """See an event of the journal."""
        ...

    def take_decision(self, decided: Decided) -> None:
        """See what one step decided."""
        ...


class Running:
    """Which day, code and configuration, and how far the record reaches."""

    def __init__(self) -> None:
        self._newest: Restarted | None = None
        self._starts = 0
        self.end_ns = 0

    def take_event(self, event: JournalEvent) -> None:
        """Events and answers may be stamped out of order (decisions 2.12): the latest counts."""
        self.end_ns = max(self.end_ns, event.at_ns)
        if isinstance(event, Restarted):
            self._newest = event
            self._starts += 1

    def take_decision(self, decided: Decided) -> None:
        self.end_ns = max(self.end_ns, decided.at_ns)

    def told(self) -> Run:
        """Empty words where the journal does not begin with a start."""
        newest = self._newest
        return Run(
            day=newest.day if newest else "",
            code_version=newest.code_version if newest else "",
            config_sha256=newest.config_sha256 if newest else "",
            libraries=newest.libraries if newest else (),
            starts=self._starts,
            ended_at_ns=self.end_ns,
        )


class Working:
    """How much was done."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._closed: set[int] = set()
        self._seen: set[str] = set()
        self._denied: set[str] = set()
        self._instruments: set[InstrumentId] = set()
        self._rejected: set[OrderId] = set()

    def take_event(self, event: JournalEvent) -> None:
        self._counts["events"] += 1
        match event:
            case InstrumentsLoaded():
                self._instruments.update(row.id for row in event.instruments)
            case OrderUpdated(row=row) if row.status is BrokerStatus.REJECTED:
                self._rejected.add(row.order_id)
            case SendFailed(action=Action.PLACE, outcome=Outcome.REFUSED):
                self._rejected.add(event.order_id)
            case _:
                pass

    def take_tape(self, record: TapeRange) -> None:
        """The journal keeps only the count of what the tape holds; its name tells the kind."""
        self._counts["events"] += record.count
        if "/ticks-" in record.segment:
            self._counts["ticks"] += record.count

    def take_decision(self, decided: Decided) -> None:
        self._counts["decisions"] += 1
        self._counts["commands"] += len(decided.commands)
        self._counts.update(name for command in decided.commands if (name := _order_act(command)))
        self._seen.update(a.signal.id for a in decided.audits if isinstance(a, SignalSeen))
        self._denied.update(a.signal.id for a in decided.audits if isinstance(a, Denied))
        self._closed.update(a.position for a in decided.audits if isinstance(a, PositionClosed))

    def told(self) -> Work:
        count = self._counts
        return Work(
            ticks=count["ticks"],
            instruments=len(self._instruments),
            events=count["events"],
            decisions=count["decisions"],
            commands=count["commands"],
            orders_placed=count["placed"],
            orders_modified=count["modified"],
            orders_cancelled=count["cancelled"],
            orders_rejected=len(self._rejected),
            signals=len(self._seen),
            denials=len(self._denied),
            trades=len(self._closed),
        )


def _order_act(command: AnyCommand) -> str | None:
    match command:
        case PlaceOrder():
            return "placed"
        case ModifyOrder():
            return "modified"
        case CancelOrder():
            return "cancelled"
        case _:
            return None


class Denying:
    """Which gate stopped how many signals: the last that was told of each."""

    def __init__(self) -> None:
        self._gates: dict[str, str] = {}

    def take_event(self, event: JournalEvent) -> None:
        """Events deny nothing."""

    def take_decision(self, decided: Decided) -> None:
        self._gates.update(
            (a.signal.id, a.denial.gate) for a in decided.audits if isinstance(a, Denied)
        )

    def told(self) -> dict[str, int]:
        return dict(sorted(Counter(self._gates.values()).items()))


class _Bought(NamedTuple):
    """What an entry has filled so far: contracts, and paise in all."""

    quantity: int
    value_paise: int


class Trading:
    """Intents, positions and what they came to: the last that was told of each."""

    def __init__(self) -> None:
        self._trades: dict[int, Trade] = {}
        self._unfilled: dict[int, UnfilledEntry] = {}
        self._symbols: dict[InstrumentId, str] = {}
        self._intents: dict[int, Intent] = {}
        self._bought: dict[int, _Bought] = {}
        self._opened_ns: dict[int, int] = {}
        self._carried: dict[int, str] = {}
        self._in_market_ns = 0
        self._in_market_since_ns = 0
        self._in_market_until_ns = 0
        self._premium_paise_max = 0
        self._open_max = 0

    @property
    def trades(self) -> list[Trade]:
        """Each position that ended, in the order of their ends."""
        return list(self._trades.values())

    @property
    def unfilled(self) -> list[UnfilledEntry]:
        """Each entry that bought nothing, in the order of their ends."""
        return list(self._unfilled.values())

    def symbol(self, instrument: InstrumentId) -> str:
        """The contract's name; its key where no master told it."""
        return self._symbols.get(instrument, instrument)

    def take_event(self, event: JournalEvent) -> None:
        if isinstance(event, InstrumentsLoaded):
            self._symbols.update((row.id, row.symbol) for row in event.instruments)

    def take_decision(self, decided: Decided) -> None:
        for audit in decided.audits:
            match audit:
                case IntentFormed(intent=intent):
                    self._intents[intent.position] = intent
                case EntryFilled():
                    self._bought[audit.position] = _Bought(audit.quantity, audit.value_paise)
                    self._unfilled.pop(audit.position, None)
                    self._measure()
                case PositionOpened():
                    self._open(audit.position, audit.venue_at_ns)
                case PositionResumed():
                    self._resume(audit, decided.at_ns)
                case EntryEnded():
                    self._end(audit, decided.at_ns)
                case PositionClosed() | FillsCorrected():
                    self._take_result(audit)
                case _:
                    pass

    def exits(self) -> dict[str, int]:
        """Round trips by the rule that closed them."""
        return dict(sorted(Counter(trade.rule for trade in self._trades.values()).items()))

    def still_open(self) -> tuple[OpenPosition, ...]:
        """What the record leaves open, by number."""
        return tuple(
            OpenPosition(
                position=number,
                symbol=self._symbol_of(number),
                side=self._intents[number].side.value,
                quantity=filled.quantity,
                entry_value_paise=filled.value_paise,
                opened_at_ns=self._opened_ns.get(number, 0),
                carried_from=self._carried.get(number),
            )
            for number, filled in sorted(self._bought.items())
        )

    def exposure(self, end_ns: int) -> Exposure:
        running_ns = end_ns - self._in_market_since_ns if self._opened_ns else 0
        return Exposure(
            premium_paise_max=self._premium_paise_max,
            positions_open_max=self._open_max,
            in_market_ns=self._in_market_ns + running_ns,
        )

    def _symbol_of(self, position: int) -> str:
        return self.symbol(self._intents[position].instrument)

    def _measure(self) -> None:
        paid = sum(filled.value_paise for filled in self._bought.values())
        self._premium_paise_max = max(self._premium_paise_max, paid)
        self._open_max = max(self._open_max, len(self._bought))

    def _open(self, position: int, at_ns: int, since_ns: int | None = None) -> None:
        if not self._opened_ns:
            began_ns = at_ns if since_ns is None else since_ns
            self._in_market_since_ns = max(began_ns, self._in_market_until_ns)
        self._opened_ns[position] = at_ns

    def _resume(self, told: PositionResumed, at_ns: int) -> None:
        """What an earlier day left open is in the market from the record's beginning on."""
        number = told.intent.position
        self._intents[number] = told.intent
        self._carried[number] = told.opened_day
        self._bought[number] = _Bought(abs(told.quantity), abs(told.cost_paise))
        self._measure()
        self._open(number, told.opened_at_ns, since_ns=at_ns)

    def _end(self, ended: EntryEnded, at_ns: int) -> None:
        self._unfilled[ended.position] = UnfilledEntry(
            position=ended.position,
            symbol=self._symbol_of(ended.position),
            at_ns=at_ns,
            reason=ended.reason,
        )

    def _take_result(self, told: PositionClosed | FillsCorrected) -> None:
        if isinstance(told, PositionClosed):
            self._close(told)
        else:
            self._correct(told)

    def _close(self, closed: PositionClosed) -> None:
        number = closed.position
        intent = self._intents[number]
        self._bought.pop(number, None)
        if self._opened_ns.pop(number, None) is not None and not self._opened_ns:
            self._in_market_ns += max(closed.closed_at_ns - self._in_market_since_ns, 0)
            self._in_market_until_ns = max(closed.closed_at_ns, self._in_market_since_ns)
        self._trades.pop(number, None)
        self._trades[number] = Trade(
            position=number,
            symbol=self.symbol(intent.instrument),
            side=intent.side.value,
            quantity=closed.quantity,
            strategy=intent.signal.strategy,
            signal=intent.signal.id,
            rule=closed.rule,
            opened_at_ns=closed.opened_at_ns,
            closed_at_ns=closed.closed_at_ns,
            entry_value_paise=closed.entry_value_paise,
            exit_value_paise=closed.exit_value_paise,
            gross_paise=closed.gross_paise,
            charges=closed.charges,
            charges_paise=sum(closed.charges.values()),
            net_paise=closed.net_paise,
            unprotected_ns=closed.unprotected_ns,
            without_stop_ns=closed.without_stop_ns,
            carried_from=self._carried.get(number),
        )

    def _correct(self, told: FillsCorrected) -> None:
        """What the trade book tells of a position that has ended counts for its trade."""
        filled = self._bought.get(told.position)
        if filled is not None:
            self._bought[told.position] = _Bought(filled.quantity, told.entry_value_paise)
        elif told.position in self._trades:
            self._trades[told.position] = _corrected(self._trades[told.position], told)


def _corrected(trade: Trade, told: FillsCorrected) -> Trade:
    if told.gross_paise is None or told.charges is None or told.net_paise is None:
        return trade
    return msgspec.structs.replace(
        trade,
        entry_value_paise=told.entry_value_paise,
        exit_value_paise=told.exit_value_paise,
        gross_paise=told.gross_paise,
        charges=told.charges,
        charges_paise=sum(told.charges.values()),
        net_paise=told.net_paise,
    )


class Readying:
    """When entries were off, and which term of readiness kept them off."""

    def __init__(self) -> None:
        self._term: str | None = None
        self._since_ns = 0
        self._times: Counter[str] = Counter()
        self._total_ns: Counter[str] = Counter()
        self._losses: list[tuple[int, int | None]] = []

    def take_event(self, event: JournalEvent) -> None:
        """Readiness changes are decided."""

    def take_decision(self, decided: Decided) -> None:
        for audit in decided.audits:
            if isinstance(audit, EntriesBlocked):
                self._change(audit.term, decided.at_ns)

    def lost_ns(self, since_ns: int, until_ns: int) -> int | None:
        """When entries stopped for a time that overlaps the given one; the first such loss."""
        for lost_ns, regained_ns in self._losses:
            if lost_ns < until_ns and (regained_ns is None or regained_ns > since_ns):
                return lost_ns
        return None

    def told(self, end_ns: int) -> tuple[Blocked, ...]:
        """By term, the present one until the record's end."""
        total = self._total_ns.copy()
        if self._term is not None:
            total[self._term] += end_ns - self._since_ns
        return tuple(
            Blocked(term=term, times=times, total_ns=total[term])
            for term, times in sorted(self._times.items())
        )

    def _change(self, term: str | None, at_ns: int) -> None:
        if self._term is not None:
            self._total_ns[self._term] += at_ns - self._since_ns
        if self._term is None and term is not None:
            self._losses.append((at_ns, None))
        elif self._term is not None and term is None:
            self._losses[-1] = (self._losses[-1][0], at_ns)
        if term is not None:
            self._times[term] += 1
        self._term, self._since_ns = term, at_ns


class Feeding:
    """When prices could not be used, of the whole feed or of one instrument."""

    def __init__(self) -> None:
        self.acts: list[StaleAct] = []
        self._outages: list[tuple[QuotesStale, int | None]] = []
        self._stale: list[QuotesStale] = []
        self._spans: dict[InstrumentId, list[int]] = {}

    def take_event(self, event: JournalEvent) -> None:
        """Staleness is found by the engine, never told to it."""

    def take_decision(self, decided: Decided) -> None:
        at_ns = decided.at_ns
        for audit in decided.audits:
            match audit:
                case QuotesStale(instrument=None):
                    self._outages.append((audit, None))
                case QuotesFresh(instrument=None):
                    self._end_outage(at_ns)
                case QuotesStale():
                    self._stale.append(audit)
                case QuotesFresh(instrument=instrument):
                    self._end_stale(at_ns, [s for s in self._stale if s.instrument == instrument])
                case PositionClosed(position=position):
                    # Nobody watches a price that is not held any more.
                    self._end_stale(at_ns, [s for s in self._stale if position in s.held])
                case StalePolicyActed():
                    self.acts.append(
                        StaleAct(
                            at_ns=at_ns,
                            position=audit.position,
                            action=audit.action,
                            values=audit.values,
                        )
                    )
                case _:
                    pass

    def outages(self, readiness: Readying, end_ns: int) -> tuple[Outage, ...]:
        """Each with what it did to entries and positions."""
        return tuple(self._outage(*ends, readiness, end_ns) for ends in self._outages)

    def stale_instruments(self, trading: Trading, end_ns: int) -> tuple[StaleInstrument, ...]:
        """By symbol; one that is stale when the record ends counts until then."""
        self._end_stale(end_ns, self._stale)
        told = (
            StaleInstrument(
                symbol=trading.symbol(instrument),
                times=len(ended),
                total_ns=sum(ended),
                longest_ns=max(ended),
            )
            for instrument, ended in self._spans.items()
        )
        return tuple(sorted(told, key=lambda stale: stale.symbol))

    def _end_stale(self, at_ns: int, ended: list[QuotesStale]) -> None:
        for stale in ended:
            if stale.instrument is not None:
                self._spans.setdefault(stale.instrument, []).append(at_ns - stale.since_ns)
        self._stale = [stale for stale in self._stale if stale not in ended]

    def _end_outage(self, at_ns: int) -> None:
        for index, (stale, until_ns) in enumerate(self._outages):
            if until_ns is None:
                self._outages[index] = (stale, at_ns)
                return

    def _outage(
        self, stale: QuotesStale, until_ns: int | None, readiness: Readying, end_ns: int
    ) -> Outage:
        last_ns = end_ns if until_ns is None else until_ns
        return Outage(
            since_ns=stale.since_ns,
            until_ns=until_ns,
            duration_ns=last_ns - stale.since_ns,
            reason=stale.reason,
            held=stale.held,
            entries_stopped_ns=readiness.lost_ns(stale.since_ns, last_ns),
            acts=tuple(act for act in self.acts if stale.since_ns <= act.at_ns <= last_ns),
        )


class Failing:
    """Halts, rules that raised, and what should not have happened."""

    def __init__(self) -> None:
        self.halts: list[HaltChange] = []
        self.failures: list[Failure] = []
        self._times: Counter[str] = Counter()
        self._first: dict[str, tuple[int, Anomaly]] = {}

    def take_event(self, event: JournalEvent) -> None:
        """What is wrong with an event is an anomaly of its step."""

    def take_decision(self, decided: Decided) -> None:
        at_ns = decided.at_ns
        for audit in decided.audits:
            match audit:
                case Halted(level=level, reason=reason):
                    self.halts.append(HaltChange(at_ns=at_ns, level=level.value, reason=reason))
                case RuleFailed(name=name, position=position, error=error):
                    failure = Failure(at_ns=at_ns, name=name, position=position, error=error)
                    self.failures.append(failure)
                case Anomaly(what=what):
                    self._times[what] += 1
                    self._first.setdefault(what, (at_ns, audit))
                case _:
                    pass

    def oddities(self) -> tuple[Oddity, ...]:
        """By their words, in order of the first time."""
        return tuple(
            Oddity(what=what, times=self._times[what], first_at_ns=at_ns, values=anomaly.values)
            for what, (at_ns, anomaly) in self._first.items()
        )
