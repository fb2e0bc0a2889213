"""The verbs with which a person takes hold of a run: halting, closing, lifting, acknowledging.

Each tells the running program and says what came of it. Where nothing runs, or what runs does not
answer, panic, flatten and unlock are carried out by this process itself.
"""

import sys
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any, Final

import click
import msgspec

from holdfast.app.cli import operating_text as text
from holdfast.app.cli.ending import ExitCode, unwrapped
from holdfast.app.cli.frame import Frame, emit, emit_json, say, verb
from holdfast.app.cli.reading import config_in_force, run_label, running_on
from holdfast.app.emergency import Emergency, Ended, take_lock
from holdfast.app.program import Host
from holdfast.control.operator import Deed, Done
from holdfast.control.socket import DO_S, NoAnswer, ask, do, socket_path
from holdfast.core.view import View
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import OperatorRequest
from holdfast.runtime.clock import WallClock, steady_s
from holdfast.runtime.lock import InstanceLock
from holdfast.runtime.signals import Signals

WATCHED_S: Final = 10.0
"""How long a verb waits for a running program to have closed what it was asked to close."""

STOPPED_S: Final = 6.0
"""A program that is being stopped has ended by then."""

AGAIN_S: Final = 0.1
BY_HAND: Final = "by hand"

_SHAPE: Final = (
    '{"do": "...", "where": "program" | "here", "refused": "", "taken": true, "durable": true,\n'
    ' "flat": true, "exit_code": 0, "view": {"halt": "...", "positions": [...], ...} | null}'
)

reason_option = click.option(
    "--reason", default=BY_HAND, metavar="TEXT", help="Why, for the record."
)
needed_reason_option = click.option(
    "--reason", required=True, metavar="TEXT", help="Why it is safe: it is kept in the record."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask whether this is meant.")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a request, by whoever carried it out. `flat` is unknown where nobody could tell."""

    do: str
    where: str
    exit_code: int
    refused: str = ""
    taken: bool = True
    durable: bool = False
    flat: bool | None = None
    run: str | None = None
    aside: str | None = None
    view: View | None = None


@verb(example="holdfast pause --reason 'news at two'", shape=_SHAPE)
@reason_option
def pause(frame: Frame, *, reason: str, as_json: bool) -> int:
    """Stop entries. What is held keeps its stops and its rules, and exits go on."""
    return _tell(_told(frame, Deed(do=OperatorRequest.PAUSE, reason=reason)), as_json=as_json)


@verb(example="holdfast resume --reason 'the news was none'", shape=_SHAPE)
@needed_reason_option
def resume(frame: Frame, *, reason: str, as_json: bool) -> int:
    """Lift a pause. A flatten or a panic is lifted with unlock."""
    return _tell(_told(frame, Deed(do=OperatorRequest.RESUME, reason=reason)), as_json=as_json)


@verb(example="holdfast flatten --yes", shape=_SHAPE)
@reason_option
@yes_option
def flatten(frame: Frame, *, reason: str, yes: bool, as_json: bool) -> int:
    """Stop entries, take back those that wait, and close every position of ours.

    Works without a running program: then this process does it. What is not ours is left alone.
    """
    _meant(frame, "flatten", yes=yes)
    return _tell(_emergency(frame, OperatorRequest.FLATTEN, reason), as_json=as_json)


@verb(example="holdfast panic --yes", shape=_SHAPE)
@reason_option
@yes_option
def panic(frame: Frame, *, reason: str, yes: bool, as_json: bool) -> int:
    """Halt first, then take back every entry and close everything of ours, and see that it is so.

    Works whatever runs or does not: a program that does not answer within two seconds is ended, and
    this process does it. Nothing is entered again before unlock.
    """
    _meant(frame, "panic", yes=yes)
    return _tell(_emergency(frame, OperatorRequest.PANIC, reason), as_json=as_json)


@verb(example="holdfast unlock --reason 'looked at every position'", shape=_SHAPE)
@needed_reason_option
@yes_option
def unlock(frame: Frame, *, reason: str, yes: bool, as_json: bool) -> int:
    """Lift any halt, with or without a running program. The limits of the day stay."""
    _meant(frame, "unlock", yes=yes)
    return _tell(_emergency(frame, OperatorRequest.UNLOCK, reason), as_json=as_json)


@verb(example="holdfast close 3 --yes", shape=_SHAPE)
@click.argument("position", type=int)
@click.option(
    "--anyway", is_flag=True, help="Without waiting for the broker's book: you have looked there."
)
@reason_option
@yes_option
def close(
    frame: Frame, *, position: int, anyway: bool, reason: str, yes: bool, as_json: bool
) -> int:
    """Close POSITION, by its number in holdfast positions. Nothing is halted."""
    _meant(frame, f"close {position}", yes=yes)
    deed = Deed(do=OperatorRequest.CLOSE, reason=reason, position=position, is_anyway=anyway)
    return _tell(_watched(frame, _told(frame, deed), position), as_json=as_json)


@verb(
    example="holdfast drift",
    shape='{"drifts": [{"key": "...", "symbol": "...", "ours": 65, "theirs": 0, ...}, ...]}',
)
def drift(frame: Frame, *, as_json: bool) -> int:
    """List every difference between the broker's book and ours that nobody has acknowledged.

    While there is one, nothing is entered in its underlying. holdfast drift acknowledge KEY says
    that you have seen it.
    """
    view = _view(frame)
    if as_json:
        emit_json({"drifts": view.open_drifts})
    else:
        emit(text.drifts(view.open_drifts))
    return 0


@verb(example="holdfast drift acknowledge NSE_FNO:40011:INTRADAY --reason 'sold it'", shape=_SHAPE)
@click.argument("key")
@needed_reason_option
def drift_acknowledge(frame: Frame, *, key: str, reason: str, as_json: bool) -> int:
    """Say that the difference of KEY was seen: the broker's book is taken for what it is."""
    deed = Deed(do=OperatorRequest.ACKNOWLEDGE, reason=reason, key=key)
    return _tell(_told(frame, deed), as_json=as_json)


# -- a running program


def _path(frame: Frame) -> Path:
    return socket_path(frame.paths.locks_dir, config_in_force(frame).account.client_id)


def _told(frame: Frame, deed: Deed) -> Answer:
    """What a running program did. Raises DataRefused where none runs, or it does not answer."""
    if running_on(frame, config_in_force(frame).account.client_id) is None:
        raise DataRefused(
            f"account {config_in_force(frame).account.client_id}",
            "nothing is running",
            "panic, flatten and unlock work without; a run is begun with: holdfast run",
        )
    return _answer(do(_path(frame), deed))


def _answer(done: Done) -> Answer:
    code = ExitCode.CLEAN
    if done.refused:
        code = ExitCode.RISK_REFUSED
    elif not (done.is_taken or done.was_done):
        code = ExitCode.BROKER_REFUSED
    return Answer(
        do=done.do.value,
        where="program",
        exit_code=code,
        refused=done.refused,
        taken=done.is_taken or done.was_done,
        durable=done.is_durable or done.was_done,
        flat=None if done.after is None else done.after.is_flat,
        view=done.after,
    )


def _view(frame: Frame) -> View:
    """How the account stands. Raises DataRefused where nobody can say."""
    view = msgspec.json.decode(ask(_path(frame), "view"), type=View | None)
    if view is None:
        raise DataRefused("the engine", "is still being recovered", "ask again in a moment")
    return view


def _watched(frame: Frame, answer: Answer, position: int | None = None) -> Answer:
    """Wait until what is to be closed is closed, so long as that is worth waiting for."""
    if answer.exit_code != ExitCode.CLEAN:
        return answer
    until_s, view = steady_s() + WATCHED_S, answer.view
    while not _is_closed(view, position) and steady_s() < until_s:
        Event().wait(AGAIN_S)
        with suppress(DataRefused):
            view = _view(frame)
    code = ExitCode.CLEAN if _is_closed(view, position) else ExitCode.BROKER_REFUSED
    flat = None if view is None else view.is_flat
    return msgspec.structs.replace(answer, view=view, flat=flat, exit_code=code)


def _is_closed(view: View | None, position: int | None) -> bool:
    if view is None:
        return False
    return view.is_flat if position is None else position in view.closed


# -- with or without one


def _emergency(frame: Frame, request: OperatorRequest, reason: str) -> Answer:
    """By the running program; where none answers, by this process."""
    client_id = config_in_force(frame).account.client_id
    answer = _asked(frame, client_id, Deed(do=request, reason=reason))
    if answer is not None:
        return answer if request is OperatorRequest.UNLOCK else _watched(frame, answer)
    return _here(frame, client_id, request, reason)


def _asked(frame: Frame, client_id: str, deed: Deed) -> Answer | None:
    """What the program that holds the lock did; `None` when none does, or it stays silent.

    One that is ending is let end: it has its own deadline.
    """
    until_s, ends_s = steady_s() + DO_S, steady_s() + STOPPED_S
    while running_on(frame, client_id) is not None and (left_s := until_s - steady_s()) > 0:
        try:
            done = do(_path(frame), deed, within_s=max(min(left_s, DO_S), AGAIN_S))
        except NoAnswer:
            done = None
        if done is not None and not done.is_ending:
            return _answer(done)
        until_s = until_s if done is None else ends_s
        Event().wait(AGAIN_S)
    return None


def _here(frame: Frame, client_id: str, request: OperatorRequest, reason: str) -> Answer:
    signals = Signals()
    signals.install()  # from here on Ctrl+C asks for an orderly end
    host = Host(signals=signals, control=_path(frame))
    emergency = Emergency(frame.paths, config_in_force(frame), host=host, say=say)
    if request is not OperatorRequest.UNLOCK:
        emergency.write_halt(request, reason)
    with _lock(frame, client_id, request), unwrapped():
        ended = emergency.do(request, reason)
    return _ended(request, ended)


def _lock(frame: Frame, client_id: str, request: OperatorRequest) -> InstanceLock:
    """The account's lock. To close what is held its holder is ended; to lift a halt it is not."""
    if request is OperatorRequest.UNLOCK:
        at_ns = WallClock().now_ns()
        return InstanceLock.acquire(
            frame.paths.locks_dir, client_id, at_ns=at_ns, purpose=request.value
        )
    return take_lock(
        frame.paths,
        client_id,
        purpose=request.value,
        holder=lambda: running_on(frame, client_id),
        say=say,
    )


def _ended(request: OperatorRequest, ended: Ended) -> Answer:
    is_done = ended.is_flat
    if request is OperatorRequest.UNLOCK:
        is_done = ended.view is not None and ended.view.halt.value == "none"
    return Answer(
        do=request.value,
        where="here",
        exit_code=ExitCode.CLEAN if is_done else ExitCode.BROKER_REFUSED,
        durable=True,
        flat=None if ended.view is None else ended.view.is_flat,
        run=run_label(ended.run),
        aside=None if ended.aside is None else str(ended.aside),
        view=ended.view,
    )


# -- words


def _by(answer: Answer) -> text.By:
    if answer.where == "here":
        return text.By.HERE
    return text.By.PROGRAM if answer.taken else text.By.NOBODY_YET


def _meant(frame: Frame, what: str, *, yes: bool) -> None:
    """Ask whether it is meant: it moves money, or lets money move. Raises `Abort`, `UsageError`."""
    if yes:
        return
    account = config_in_force(frame).account.client_id
    if not sys.stdin.isatty():
        raise click.UsageError(f"{what} moves money: say --yes where nobody can be asked")
    click.confirm(f"{what} account {account}?", abort=True, err=True)


def _tell(answer: Answer, *, as_json: bool) -> int:
    if as_json:
        told: dict[str, Any] = msgspec.structs.asdict(answer)
        emit_json(told)
    elif answer.refused:
        say(f"holdfast: {answer.refused}")
    else:
        emit(text.told(answer.do, answer.view, by=_by(answer), durable=answer.durable))
    return answer.exit_code
