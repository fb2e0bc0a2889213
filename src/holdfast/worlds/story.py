"""A world told in the words of the domain: what was done to it, what it did, and what was broken."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from holdfast.core.engine import Step
from holdfast.domain.audit import (
    Anomaly,
    AnyAudit,
    Drift,
    EntriesBlocked,
    EntryEnded,
    ExitDecided,
    Halted,
    IntentFormed,
    LevelMoved,
    PositionClosed,
    PositionOpened,
    PositionResumed,
    ProtectionLost,
    ProtectionVerified,
    Remedied,
)
from holdfast.domain.command import AnyCommand, CancelOrder, FindOrder, ModifyOrder, PlaceOrder
from holdfast.domain.event import (
    BookRead,
    BookRepeated,
    LinkChanged,
    OperatorAsked,
    OrderAcknowledged,
    OrderUpdated,
    ReadFailed,
    SendFailed,
)
from holdfast.domain.order import OrderTerms
from holdfast.exchange.account import Execution
from holdfast.worlds.acts import Act, Script
from holdfast.worlds.ground import BEGIN_NS, SECOND
from holdfast.worlds.mixes import script as whole_script
from holdfast.worlds.world import Moment, World


def command_of(script: Script, *, full: bool = False) -> str:
    """What to type to have this very world again; a shortened script names the acts that it keeps."""
    whole = whole_script(script.seed, _mix(script, full=full), full=full)
    parts = [f"python -m holdfast.worlds --seed {script.seed}"]
    if full:
        parts.append("--full")
    elif script.mix != whole_script(script.seed).mix:
        parts.append(f'--mix "{script.mix}"')
    if script.acts != whole.acts:
        kept = [str(number) for number, act in enumerate(whole.acts) if act in script.acts]
        parts.append(f"--only {','.join(kept) or 'none'}")
    if script.seconds != whole.seconds:
        parts.append(f"--until {script.seconds}")
    return " ".join(parts)


def _mix(script: Script, *, full: bool) -> str | None:
    return None if full else script.mix


def cut_to(script: Script, *, only: str | None, until: int | None) -> Script:
    """A script with only some of its acts, by their numbers, and an earlier end."""
    acts, seconds = script.acts, script.seconds
    if only is not None:
        kept = [] if only == "none" else [int(number) for number in only.split(",")]
        acts = tuple(act for number, act in enumerate(script.acts) if number in kept)
    if until is not None:
        seconds = until
    return Script(
        seed=script.seed,
        mix=script.mix,
        seconds=seconds,
        calm_s=script.calm_s,
        close_s=script.close_s,
        acts=acts,
    )


def told(world: World, *, last: int | None = None) -> Iterator[str]:
    """The story of a world, line by line; `last` moments of it only, but every act."""
    script = world.script
    settings = world.terms.settings
    yield f"world {script.seed}, mix {script.mix!r}, {script.seconds} s"
    yield (
        f"  stop {settings.exits.stop_bps} bps, target {settings.exits.target_bps} bps,"
        f" up to {settings.sizing.lots_max} lots, {settings.entries.positions_open_max} positions;"
        f" a stop becomes a limit: {world.terms.behaviour.stop_to_limit.value};"
        f" the exit {'modifies' if settings.exit_by_modify else 'replaces'} it;"
        f" commit {world.terms.pace.commit_ns / SECOND} s, flush {world.terms.pace.flush_ns / SECOND} s"
    )
    yield "what is done to it:"
    for number, act in enumerate(script.acts):
        yield f"  [{number}] {act.second:7.2f}  {act}"
    yield "what happens:"
    moments = sorted(world.moments, key=lambda moment: moment.at_ns)
    lines = [line for moment in moments for line in _lines(moment)]
    if last is not None and len(lines) > last:
        yield f"  ... {len(lines) - last} lines before this"
        lines = lines[-last:]
    yield from lines


def _lines(moment: Moment) -> Iterator[str]:
    when = f"  {(moment.at_ns - BEGIN_NS) / SECOND:7.2f}"
    what = moment.what
    if isinstance(what, str):
        yield f"{when} -- {what}"
    elif isinstance(what, Act):
        yield f"{when} ** {what}"
    elif isinstance(what, Execution):
        yield f"{when} ## {_execution(what)}"
    elif isinstance(what, Step):
        yield from (f"{when}    {text}" for audit in what.audits if (text := _audit(audit)))
        yield from (f"{when} -> {text}" for one in what.commands if (text := _command(one)))
    elif text := _event(what):
        yield f"{when} <- {text}"


def _execution(one: Execution) -> str:
    who = one.order_id or f"somebody else ({one.broker_id})"
    price = one.value_paise / one.quantity / 100
    word = "bought" if one.side.sign > 0 else "sold"
    return f"the exchange: {who} {word} {one.quantity} of {one.key.instrument} at {price:.2f}"


def _terms(terms: OrderTerms) -> str:
    trigger = "" if terms.trigger_paise is None else f", trigger {terms.trigger_paise / 100:.2f}"
    return (
        f"{terms.side.value.lower()} {terms.quantity} of {terms.instrument}"
        f" at {terms.limit_paise / 100:.2f}{trigger}"
    )


def _command(command: AnyCommand) -> str:
    match command:
        case PlaceOrder():
            return f"place {command.order_id}: {_terms(command.terms)}"
        case ModifyOrder():
            return f"modify {command.order_id}: {_terms(command.terms)}"
        case CancelOrder():
            return f"cancel {command.order_id}"
        case FindOrder():
            return "" if command.is_poll else f"look for {command.order_id}"
        case _:
            return ""


def _update(event: OrderUpdated) -> str:
    row = event.row
    word = "read" if event.is_read else "told"
    reason = f" ({row.reason})" if row.reason else ""
    return (
        f"{word}: {row.order_id} is {row.status.value}, {row.filled_quantity} filled;"
        f" {_terms(row.terms)}{reason}"
    )


_Words = Callable[[Any], str]

_AUDITS: Final[dict[type, _Words]] = {
    IntentFormed: lambda it: f"position {it.intent.position} is wanted: {it.intent.quantity}",
    PositionResumed: lambda it: f"position {it.intent.position} is carried from {it.day}",
    PositionOpened: lambda it: f"position {it.position} opens in {it.instrument}",
    EntryEnded: lambda it: f"position {it.position} never came to be: {it.reason}",
    ProtectionVerified: lambda it: f"position {it.position} is protected by {it.order_id}",
    ProtectionLost: lambda it: f"position {it.position} is no longer protected: {it.reason}",
    LevelMoved: lambda it: f"the stop of position {it.position} moves to {it.stop_paise / 100:.2f}",
    ExitDecided: lambda it: f"position {it.position} must be closed: {it.exit.rule}",
    PositionClosed: lambda it: f"position {it.position} is closed, net {it.net_paise / 100:.2f}",
    Halted: lambda it: f"halt: {it.level.value} ({it.reason})",
    Anomaly: lambda it: f"alarm: {it.what} {it.values}",
    Drift: lambda it: f"drift in {it.instrument}: {it.ours} here, {it.theirs} there ({it.reason})",
    Remedied: lambda it: f"the book decides: {it.difference.value} of {it.order_id}",
    EntriesBlocked: lambda it: f"entries wait for: {it.term}" if it.term else "ready to enter",
}
"""How each audit is told; others are not."""


def _audit(audit: AnyAudit) -> str:
    words = _AUDITS.get(type(audit))
    return "" if words is None else words(audit)


def _event(event: object) -> str:
    words = _EVENTS.get(type(event))
    return "" if words is None else words(event)


def _failure(event: SendFailed) -> str:
    why = "" if event.refusal is None else f" ({event.refusal.value})"
    text = f"{event.action.value} of {event.order_id} {event.outcome.value}{why}"
    return f"{text}: {event.reason}"


def _book(event: BookRead) -> str:
    nets = ", ".join(f"{one.net} of {one.instrument}" for one in event.nets if one.net)
    return f"the book: {len(event.orders)} orders, holds {nets or 'nothing'}"


_EVENTS: Final[dict[type, _Words]] = {
    OrderAcknowledged: lambda it: f"{it.order_id} was taken as {it.broker_id}",
    OrderUpdated: _update,
    SendFailed: _failure,
    OperatorAsked: lambda it: f"a person asks: {it.request.value} {it.position or ''}".rstrip(),
    LinkChanged: lambda it: f"{it.link.value} is {'up' if it.is_up else 'down'}",
    BookRead: _book,
    BookRepeated: lambda _: "the book: as before",
    ReadFailed: lambda it: f"reading {it.what} failed: {it.reason}",
}
"""How each event is told; others are not."""
