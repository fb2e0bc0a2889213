"""The verb that serves a simulated broker."""

from pathlib import Path
from typing import Any, Final

import click
import msgspec

from holdfast.app.cli.ending import unwrapped
from holdfast.app.cli.frame import Frame, emit, emit_json, say, verb
from holdfast.app.sim_broker import UNDERLYINGS, SimBroker, at_clock
from holdfast.app.sim_broker import serve as serve_broker
from holdfast.domain.errors import DataRefused
from holdfast.exchange.checks import ModifyBehaviour
from holdfast.simbroker.dhan.doubts import Doubts
from holdfast.simbroker.dhan.server import Ready

SHAPE: Final = (
    '{"urls": {"rest": "http://127.0.0.1:PORT/v2", "auth": "...", "feed": "ws://...", '
    '"updates": "...", "instruments": "..."},\n'
    ' "control": "http://...", "account": {"client_id": "1000000001", "pin": "...", ...}, '
    '"token": "...",\n'
    ' "day": "2026-11-20", "now_ns": 0, "speed": 15, "clock": {...}, "continues": false}'
)


def _clock(_context: click.Context, _option: click.Parameter, given: str) -> int | None:
    if given == "now":
        return None
    try:
        return at_clock(given)
    except ValueError as error:
        raise click.BadParameter(f"{given} is not HH:MM, HH:MM:SS or now") from error


def _doubts(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> Doubts:
    named = {
        name.replace("-", "_"): value for name, _, value in (one.partition("=") for one in given)
    }
    try:
        return msgspec.convert(named, Doubts, strict=False)
    except msgspec.ValidationError as error:
        known = ", ".join(name.replace("_", "-") for name in Doubts.__struct_fields__)
        raise click.BadParameter(f"{error}; known are {known}") from error


@verb(
    example="holdfast sim-broker --start-ist 09:10 --speed 15\n"
    "holdfast sim-broker --port 8100 --state my-broker --json",
    shape=SHAPE,
)
@click.option(
    "--port", type=int, default=0, help="The first of six ports in a row; 0: any free ones."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of market and chance.")
@click.option("--day", metavar="DATE", default="2026-11-20", show_default=True, help="The day.")
@click.option(
    "--start-ist",
    "start_s",
    metavar="HH:MM",
    default="09:10",
    show_default=True,
    callback=_clock,
    help="The time in India at which it starts, or: now.",
)
@click.option(
    "--speed",
    type=click.IntRange(1, 1_000),
    default=1,
    show_default=True,
    help="Seconds of the day in one second.",
)
@click.option(
    "--underlying",
    "underlyings",
    multiple=True,
    metavar="NAME",
    default=UNDERLYINGS,
    show_default=True,
    help="What is traded. May be repeated.",
)
@click.option(
    "--tape", type=click.Path(path_type=Path), metavar="DIR", help="Play a recorded day instead."
)
@click.option(
    "--facts", type=click.Path(path_type=Path), metavar="FILE", help="Other hours than the known."
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Remember everything there, and go on with what is there.",
)
@click.option(
    "--cash",
    "cash_paise",
    type=int,
    default=2_000_000,
    show_default=True,
    callback=lambda _context, _option, given: given * 100,
    help="Rupees.",
)
@click.option("--client-id", default="1000000001", show_default=True, help="Of the account.")
@click.option(
    "--stop-to-limit",
    type=click.Choice([one.value for one in ModifyBehaviour]),
    default=ModifyBehaviour.ACCEPTS.value,
    show_default=True,
    callback=lambda _context, _option, given: ModifyBehaviour(given),
    help="What becomes of a stop that is modified into a limit order.",
)
@click.option(
    "--transit-ms",
    type=(int, int),
    default=(40, 120),
    show_default=True,
    help="The shortest and longest time in TRANSIT.",
)
@click.option(
    "--doubt",
    "doubts",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_doubts,
    help="How Dhan behaves where nobody knows: external=array, dead_token=dh-906, ...",
)
@click.option(
    "--logged-out",
    "is_logged_in",
    is_flag=True,
    default=True,
    flag_value=False,
    help="No token is active at the start.",
)
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the JSON there too, whole, once it serves.",
)
def sim_broker(frame: Frame, *, ready_file: Path | None, as_json: bool, **asked: Any) -> int:
    """Serve a simulated Dhan on this machine until it is stopped (Ctrl+C).

    It speaks the broker's protocol: REST, market feed, order updates, instrument files. Behind it
    is a simulated exchange with one account. Nothing of it reaches a real broker. The control
    address tells the truth of it (GET /truth) and lets things go wrong (POST /faults).
    """
    wanted = SimBroker(**asked)

    def tell(ready: Ready) -> None:
        if ready_file is not None:
            _write(ready_file, ready)
        if as_json:
            emit_json(ready)
        else:
            emit(_told(ready))

    try:
        with unwrapped():
            serve_broker(wanted, tell, frame.signals)
    except ValueError as error:
        raise DataRefused("holdfast sim-broker", str(error), "see: --help") from error
    say("stopped")
    return 0


def _write(file: Path, ready: Ready) -> None:
    """Whole or not at all: whoever waits for it reads all of it."""
    part = file.with_name(f"{file.name}.part")
    part.write_bytes(msgspec.json.encode(ready))
    part.replace(file)


def _told(ready: Ready) -> str:
    """What a person reads, and what he puts into a configuration of holdfast to trade there."""
    account = ready.account
    clock = (
        f"{name} = {msgspec.json.encode(value).decode()}" for name, value in ready.clock.items()
    )
    lines = [
        f"a simulated Dhan, day {ready.day}, speed {ready.speed}; stop it with Ctrl+C",
        f"control      {ready.control}",
        f"pin          {account.pin}",
        f"totp secret  {account.totp_secret}",
        f"token        {ready.token or 'none yet'}",
        "",
        "for a configuration of holdfast that trades there:",
        "",
        "[account]",
        f'client_id = "{account.client_id}"',
        "",
        "[clock]",
        *clock,
        "",
        "[dhan]",
        *(f'{name}_url = "{url}"' for name, url in ready.urls.items()),
        "",
    ]
    return "\n".join(lines)
