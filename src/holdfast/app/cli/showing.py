"""The verbs that look at a run and change nothing."""

from pathlib import Path
from typing import Any

import click
import msgspec

from holdfast.app.cli import operating_text
from holdfast.app.cli.frame import Frame, emit, emit_json, say, verb
from holdfast.app.cli.reading import (
    config_in_force,
    find_run,
    journal_of,
    mode_of,
    records_of,
    run_label,
    running_on,
    runs_of,
    symbols_of,
)
from holdfast.control.socket import ask, socket_path
from holdfast.core.view import View
from holdfast.domain.errors import DataRefused
from holdfast.ports import FeedStatus
from holdfast.research import explain_text, report_text
from holdfast.research.explain import explain as explained
from holdfast.research.report import fold_report
from holdfast.research.stories import SignalStory, Stories
from holdfast.research.text import average, clock, figures, rupees, table
from holdfast.runtime.day import Standing
from holdfast.runtime.health import ServiceStatus
from holdfast.runtime.tally import RouterCounts
from holdfast.store import query, rows
from holdfast.store.halt import HaltFile


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """What a running program answers."""

    services: tuple[ServiceStatus, ...]
    shutting_down: bool
    standing: Standing
    feed: FeedStatus | None = None
    view: View | None = None


run_argument = click.argument("run", required=False)


@verb(
    example="holdfast status",
    shape='{"account": "...", "running": {"pid": 1, "since_ns": 0, "purpose": "..."} | null,\n'
    ' "program": {"services": [{"name": "...", "state": "...", "tasks": [...], ...}, ...],\n'
    '  "feed": {"is_up": true, "age_ms": 0, "lag_ms": {"NSE": 0}, ...} | null,\n'
    '  "shutting_down": false, "standing": {...}, "view": {...} | null} | null,\n'
    ' "run": "MODE/NAME" | null, "day": {...} | null, "positions_open": 0,\n'
    ' "halt": {"is_halted": false, "level": "...", "reason": "...", ...} | null,\n'
    ' "unfinished": "MODE/NAME" | null}',
)
def status(frame: Frame, *, as_json: bool) -> int:
    """Say what runs for the account, service by service, and how its newest finished run stands."""
    config = config_in_force(frame)
    account = config.account.client_id
    running = running_on(frame, account)
    program = _program(frame, account) if running is not None else None
    runs = runs_of(frame, config)
    run = runs.find(None) if runs.names() else None
    day = query.day_header(journal_of(run)) if run else None
    held = [p for p in query.positions(journal_of(run)) if _is_open(p)] if run else []
    unfinished = runs.unfinished()
    halt = HaltFile(unfinished).read() if unfinished is not None else None
    told = {
        "account": account,
        "running": running,
        "program": program,
        "run": run_label(run) if run else None,
        "day": day,
        "positions_open": len(held),
        "halt": halt,
        "unfinished": _label(unfinished) if unfinished is not None else None,
    }
    if as_json:
        emit_json(told)
        return 0
    if running is None:
        emit(f"account {account}: nothing is running\n")
    else:
        emit(f"account {account}: process {running.pid} runs {running.purpose}\n")
        emit(_services(program) + _view(program))
    if halt is not None and unfinished is not None and (program is None or program.view is None):
        emit(
            operating_text.written_halt(
                _label(unfinished), halt.level, halt.reason, is_halted=halt.is_halted
            )
        )
    if run is None or day is None:
        emit("no run yet; make one with: holdfast run\n")
    else:
        emit(_standing(run, day, len(held)))
    return 0


@verb(
    example="holdfast positions\nholdfast positions 2026-11-20-seed1",
    shape='{"run": "...", "positions": [{"position": 1, "symbol": "...", ...}, ...]}',
)
@run_argument
def positions(frame: Frame, *, run: str | None, as_json: bool) -> int:
    """List the positions of a run, the newest unless named, open ones and closed ones."""
    folder = find_run(frame, run)
    held, symbols = query.positions(journal_of(folder)), symbols_of(folder)
    if as_json:
        emit_json({"run": run_label(folder), "positions": [_named(p, symbols) for p in held]})
        return 0
    headings = ("#", "contract", "side", "qty", "state", "in at", "stop", "target", "by", "net")
    lines = [
        (
            str(p.position),
            symbols.get(p.instrument, p.instrument),
            p.side,
            str(p.quantity),
            p.state if p.carried_from is None else f"{p.state}, carried from {p.carried_from}",
            average(p.entry_value_paise, p.quantity or p.planned_quantity),
            rupees(p.stop_paise),
            _rupees(p.target_paise),
            p.exit_rule or "-",
            _rupees(p.net_paise),
        )
        for p in held
    ]
    _list(folder, table(headings, lines, left=(1, 2, 4, 8)), len(held), "positions")
    return 0


@verb(
    example="holdfast orders",
    shape='{"run": "...", "orders": [{"order_id": "...", "state": "filled", ...}, ...]}',
)
@run_argument
def orders(frame: Frame, *, run: str | None, as_json: bool) -> int:
    """List the orders of a run, the newest unless named, in the order in which they were placed."""
    folder = find_run(frame, run)
    placed = sorted(query.orders(journal_of(folder)), key=lambda o: (o.placed_at_ns, o.order_id))
    symbols = symbols_of(folder)
    if as_json:
        emit_json({"run": run_label(folder), "orders": [_named(o, symbols) for o in placed]})
        return 0
    headings = ("placed", "order", "contract", "side", "type", "trigger", "limit", "qty", "filled")
    lines = [
        (
            clock(o.placed_at_ns),
            o.order_id,
            symbols.get(o.instrument, o.instrument),
            o.side,
            o.order_type,
            _rupees(o.trigger_paise),
            rupees(o.limit_paise),
            str(o.quantity),
            str(o.filled_quantity),
            average(o.filled_value_paise, o.filled_quantity),
            f"{o.state}: {o.reason}" if o.reason else o.state,
        )
        for o in placed
    ]
    shown = table((*headings, "at", "state"), lines, left=(0, 1, 2, 3, 4, 10))
    _list(folder, shown, len(placed), "orders")
    return 0


@verb(
    example="holdfast signals\nholdfast explain s3",
    shape='{"run": "...", "signals": [{"number": 1, "at_ns": ..., "signal": {...}, '
    '"denial": {...} | null, "position": 1 | null}, ...]}',
)
@run_argument
def signals(frame: Frame, *, run: str | None, as_json: bool) -> int:
    """List the signals of a run, the newest unless named, each with its one outcome."""
    folder = find_run(frame, run)
    stories = Stories()
    for _sequence, record in records_of(folder):
        stories.take(record)
    seen = stories.signals()
    if as_json:
        emit_json({"run": run_label(folder), "signals": seen})
        return 0
    lines = [
        (
            f"s{story.number}",
            clock(story.at_ns),
            story.signal.strategy,
            story.signal.direction.value,
            _outcome(story),
        )
        for story in seen
    ]
    shown = table(("", "at", "strategy", "side", "outcome"), lines, left=(0, 1, 2, 3, 4))
    _list(folder, shown, len(seen), "signals")
    return 0


@verb(
    example="holdfast report\nholdfast report 2026-11-20",
    shape='{"run": "...", "report": {"run": {...}, "work": {...}, "trades": [...], ...}}',
)
@run_argument
def report(frame: Frame, *, run: str | None, as_json: bool) -> int:
    """Tell what a run came to: the newest, or one named by its name, its day or its folder."""
    folder = find_run(frame, run)
    told = fold_report(records_of(folder))
    if as_json:
        emit_json({"run": run_label(folder), "report": told})
    else:
        emit(report_text.render(told, mode_of(folder)))
    return 0


@verb(
    example="holdfast explain 1\nholdfast explain s3 --run 2026-11-20-seed1",
    shape='{"run": "...", "explanation": {"signal": {...}, "intent": {...} | null, ...}}',
)
@click.argument("id")
@click.option("--run", metavar="RUN", help="Another run than the newest.")
def explain(frame: Frame, *, id: str, run: str | None, as_json: bool) -> int:  # noqa: A002 as typed
    """Tell the whole chain behind ID: a position (3), a signal (s5) or an order's id."""
    folder = find_run(frame, run)
    told = explained(records_of(folder), id)
    if told is None:
        raise DataRefused(
            run_label(folder),
            f"holds no position, signal or order {id}",
            "holdfast positions, signals and orders list what there is",
        )
    if as_json:
        emit_json({"run": run_label(folder), "explanation": told})
    else:
        emit(explain_text.render(told))
    return 0


def _program(frame: Frame, account: str) -> Program | None:
    """What the running program says of itself; `None` when it does not answer."""
    try:
        answer = ask(socket_path(frame.paths.locks_dir, account), "status")
    except DataRefused as error:
        say(str(error))
        return None
    return msgspec.json.decode(answer, type=Program)


def _view(program: Program | None) -> str:
    """How the account stands, by the engine; nothing while there is none."""
    if program is None or program.view is None:
        return ""
    return "\n".join(operating_text.standing(program.view)) + "\n"


def _label(folder: Path) -> str:
    """`MODE/NAME` of a run that is not over, also of one whose process was killed."""
    name = folder.name.removeprefix(".").removesuffix(".new")
    return f"{folder.parent.parent.name}/{name}"


def _services(program: Program | None) -> str:
    if program is None:
        return ""
    headings = ("service", "state", "restarts", "heartbeat", "tasks and threads", "reason")
    rows = [
        (
            one.name,
            one.state.value,
            str(one.restarts),
            "-" if one.heartbeat_age_ms is None else f"{one.heartbeat_age_ms} ms",
            ", ".join((*one.tasks, *one.threads)) or "-",
            one.reason or one.last_error or "-",
        )
        for one in program.services
    ]
    stopping = "  it is being stopped\n" if program.shutting_down else ""
    services = "\n".join(table(headings, rows, left=(0, 1, 4, 5)))
    feed = _feed(program.feed) if program.feed is not None else ""
    return f"{stopping}{services}\n{feed}{_orders(program.standing.router)}"


def _feed(feed: FeedStatus) -> str:
    lags = [f"{name} {lag_ms} ms" for name, lag_ms in sorted(feed.lag_ms.items())]
    flaws = [f"{count} {kind}" for kind, count in sorted(feed.flaws.items())]
    newest = "nothing yet" if feed.age_ms is None else f"newest packet {feed.age_ms} ms ago"
    return (
        f"  feed: {'up' if feed.is_up else 'down'}, {newest},"
        f" behind the exchange {', '.join(lags) or '-'}; {feed.wanted} instruments over"
        f" {feed.connections} connections, {feed.dials} made, {feed.quotes_read} quotes read beside,"
        f" flaws {', '.join(flaws) or 'none'}\n"
    )


def _orders(router: RouterCounts) -> str:
    second, minute, hour, day = router.used
    return (
        f"  orders sent: {second} in a second, {minute} in a minute, {hour} in an hour, {day} today;"
        f" {router.waiting} waiting, {router.refused} refused for the rate\n"
        f"  order path: breaker {router.breaker}, {router.failed} calls failed,"
        f" {router.retried} tried again, {router.outdated} outdated,"
        f" slowest answer {router.slowest_ms} ms\n"
    )


def _is_open(position: rows.Position) -> bool:
    return position.state in ("open", "closing")


def _standing(run: Path, day: rows.Day, held: int) -> str:
    return (
        f"newest run {run_label(run)}\n"
        f"  day {day.day}, holdfast {day.code_version}, configuration {day.config_sha256[:12]}\n"
        f"  {day.signals} signals, {day.denials} denied, {day.trades} round trips, {held} open\n"
        f"  gross {rupees(day.gross_paise)}, charges {rupees(day.charges_paise)},"
        f" net {rupees(day.net_paise)}\n"
        f"  halt {day.halt}\n"
    )


def _named(row: rows.Position | rows.Order, symbols: dict[str, str]) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(row),
        "symbol": symbols.get(row.instrument, row.instrument),
    }


def _outcome(story: SignalStory) -> str:
    if story.position is not None:
        return f"position {story.position}"
    if story.denial is None:
        return "none yet"
    return f"denied by {story.denial.gate}: {figures(story.denial.values)}"


def _list(run: Path, shown: list[str], count: int, what: str) -> None:
    lines = shown if count else []
    emit("\n".join([*lines, f"{count} {what} in {run_label(run)}"]) + "\n")


def _rupees(paise: int | None) -> str:
    return "-" if paise is None else rupees(paise)
