"""A report as plain text: the same bytes for the same run, wherever and whenever it is printed."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from holdfast.research.parts import Outage, Report, StaleAct
from holdfast.research.text import average, clock, clock_ms, figures, grouped, rupees, span, table

_OUTAGES_NAMED_MAX: Final = 40
_OUTAGE_NAMED_NS: Final = 10_000_000_000


def render(report: Report, mode: str) -> str:
    """All of it, ending in a line break. Money in rupees, times of day in India."""
    blocks = (
        _heading(report, mode),
        _work(report),
        _signals(report),
        _trades(report),
        _exposure(report),
        _protection(report),
        _feed(report),
        _readiness(report),
        _incidents(report),
        _result(report),
    )
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _heading(report: Report, mode: str) -> Iterator[str]:
    run = report.run
    yield f"Report of {run.day or 'an empty journal'}, {mode}, rupees, times of India"
    libraries = "".join(f", {library}" for library in run.libraries)
    yield f"holdfast {run.code_version}, configuration {run.config_sha256[:12]}{libraries}"
    if run.starts > 1:
        yield f"started {run.starts} times"


def _work(report: Report) -> Iterator[str]:
    work = report.work
    yield "Work"
    yield f"  {grouped(work.ticks)} ticks of {work.instruments} instruments"
    yield (
        f"  {grouped(work.events)} events, {grouped(work.decisions)} steps that decided something,"
        f" {grouped(work.commands)} commands"
    )
    yield (
        f"  {_many(work.orders_placed, 'order')}, {_many(work.orders_modified, 'modification')},"
        f" {_many(work.orders_cancelled, 'cancel')}, {_many(work.orders_rejected, 'rejection')}"
    )
    yield (
        f"  {_many(work.signals, 'signal')}, {_many(work.denials, 'denial')},"
        f" {_many(work.trades, 'round trip')}"
    )


def _signals(report: Report) -> Iterator[str]:
    work = report.work
    yield "Signals"
    yield f"  {work.signals} seen, {work.signals - work.denials} entered, {work.denials} denied"
    if report.denials:
        rows = [(gate, str(times)) for gate, times in report.denials.items()]
        yield from _indented(table(("gate", "denied"), rows))


def _trades(report: Report) -> Iterator[str]:
    yield "Trades"
    if not report.trades:
        yield f"  none: {_why_nothing(report)}"
    else:
        yield from _indented(_trade_table(report))
        yield "  closed by: " + ", ".join(f"{rule} {n}" for rule, n in report.exits.items())
    for entry in report.unfilled:
        yield f"  {entry.position} {entry.symbol}: no fill by {clock(entry.at_ns)}, {entry.reason}"
    for held in report.still_open:
        yield (
            f"  {held.position} {held.symbol}: STILL OPEN, {held.side} {held.quantity} at"
            f" {average(held.entry_value_paise, held.quantity)}"
            + (f", carried from {held.carried_from}" if held.carried_from else "")
        )


def _trade_table(report: Report) -> list[str]:
    headings = ("#", "contract", "side", "qty", "in", "at", "out", "at", "closed by")
    money = ("gross", "charges", "net")
    rows = [
        (
            str(trade.position),
            trade.symbol,
            trade.side,
            str(trade.quantity),
            trade.carried_from or clock(trade.opened_at_ns),
            average(trade.entry_value_paise, trade.quantity),
            clock(trade.closed_at_ns),
            average(trade.exit_value_paise, trade.quantity),
            trade.rule,
            rupees(trade.gross_paise),
            rupees(trade.charges_paise),
            rupees(trade.net_paise),
        )
        for trade in report.trades
    ]
    return table((*headings, *money), rows, left=(1, 2, 8))


def _why_nothing(report: Report) -> str:
    if report.still_open:
        return "nothing was closed"
    if report.unfilled:
        return f"{_many(len(report.unfilled), 'entry order')} ended without a fill"
    if report.denials:
        gates = ", ".join(f"{gate} {times}" for gate, times in report.denials.items())
        return f"every signal was denied, by {gates}"
    return "no strategy gave a signal"


def _exposure(report: Report) -> Iterator[str]:
    exposure = report.exposure
    yield "Exposure"
    yield f"  most premium at risk {rupees(exposure.premium_paise_max)}"
    yield f"  most positions at once {exposure.positions_open_max}"
    yield f"  time in the market {span(exposure.in_market_ns)}"


def _protection(report: Report) -> Iterator[str]:
    yield "Protection"
    if report.trades:
        rows = [
            (str(trade.position), span(trade.unprotected_ns), span(trade.without_stop_ns))
            for trade in report.trades
        ]
        totals = report.totals
        rows.append(("all", span(totals.unprotected_ns), span(totals.without_stop_ns)))
        yield from _indented(table(("#", "unprotected", "no stop at the broker"), rows, left=()))
    else:
        yield "  nothing was held"


def _feed(report: Report) -> Iterator[str]:
    yield "Feed"
    named, others = _longest(report.outages)
    for outage in named:
        yield from _outage(outage)
    if others:
        total_ns = sum(outage.duration_ns for outage in others)
        yield f"  {_many(len(others), 'shorter outage')}, {span(total_ns)} in all"
    if not report.outages:
        yield "  no outage"
    inside = [act for outage in named for act in outage.acts]
    beside = Counter(act.action for act in report.stale_acts if act not in inside)
    if beside:
        told = ", ".join(f"{action} {_times(times)}" for action, times in beside.items())
        yield f"  stale prices of positions besides these: {told}"
    if report.stale:
        rows = [
            (stale.symbol, str(stale.times), span(stale.total_ns), span(stale.longest_ns))
            for stale in report.stale
        ]
        yield from _indented(table(("stale alone", "times", "in all", "longest"), rows))


def _longest(outages: Sequence[Outage]) -> tuple[list[Outage], list[Outage]]:
    """The outages worth a line each, in order of time, and the others."""
    by_length = sorted(outages, key=lambda outage: (-outage.duration_ns, outage.since_ns))
    worth = sum(outage.duration_ns >= _OUTAGE_NAMED_NS for outage in outages)
    count = min(worth, _OUTAGES_NAMED_MAX)
    return sorted(by_length[:count], key=lambda outage: outage.since_ns), by_length[count:]


def _outage(outage: Outage) -> Iterator[str]:
    until = "the end" if outage.until_ns is None else clock(outage.until_ns)
    yield (
        f"  {clock(outage.since_ns)} to {until}, {span(outage.duration_ns)}: {outage.reason};"
        f" {_stopping(outage)}"
    )
    if outage.held:
        yield f"    held: {', '.join(f'position {number}' for number in outage.held)}"
    yield from (f"    {line}" for line in _acts(outage.acts))


def _stopping(outage: Outage) -> str:
    if outage.entries_stopped_ns is None:
        return "entries went on"
    if outage.entries_stopped_ns < outage.since_ns:
        return "entries were off already"
    return f"entries off after {span(outage.entries_stopped_ns - outage.since_ns)}"


def _acts(acts: Sequence[StaleAct]) -> Iterator[str]:
    """One line for each thing done at an instant, with the positions it was done for."""
    done: dict[tuple[int, str], list[str]] = {}
    for act in acts:
        done.setdefault((act.at_ns, act.action), []).append(str(act.position))
    for (at_ns, action), positions in done.items():
        yield f"{clock_ms(at_ns)} position {', '.join(positions)}: {action}"


def _readiness(report: Report) -> Iterator[str]:
    yield "Entries off"
    # At every start each term fails for an instant until its event has come.
    told = [blocked for blocked in report.blocked if blocked.total_ns > 0]
    if not told:
        yield "  never"
        return
    rows = [(blocked.term, str(blocked.times), span(blocked.total_ns)) for blocked in told]
    yield from _indented(table(("term", "times", "in all"), rows))


def _incidents(report: Report) -> Iterator[str]:
    yield "Halts, failures, anomalies"
    for halt in report.halts:
        yield f"  {clock(halt.at_ns)} halt {halt.level}: {halt.reason}"
    for failure in report.failures:
        position = "" if failure.position is None else f" on position {failure.position}"
        yield f"  {clock(failure.at_ns)} {failure.name} failed{position}: {failure.error}"
    for oddity in report.oddities:
        told = f": {figures(oddity.values)}" if oddity.values else ""
        yield f"  {clock(oddity.first_at_ns)} {oddity.what}, {_times(oddity.times)}{told}"
    if not (report.halts or report.failures or report.oddities):
        yield "  none"


def _result(report: Report) -> Iterator[str]:
    totals = report.totals
    yield "Result"
    yield f"  {_many(len(report.trades), 'round trip')}: {totals.gained} gained, {totals.lost} lost"
    rows = [("gross", rupees(totals.gross_paise))]
    rows += [(f"- {name}", rupees(paise)) for name, paise in totals.charges.items()]
    rows += [("charges", rupees(totals.charges_paise)), ("net", rupees(totals.net_paise))]
    yield from _indented(table(("", ""), rows)[1:])


def _indented(lines: list[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)


def _times(count: int) -> str:
    return _many(count, "time")


def _many(count: int, word: str) -> str:
    if count == 1:
        return f"1 {word}"
    return f"{count} {word[:-1]}ies" if word.endswith("y") else f"{count} {word}s"
