"""The verbs that trade: a simulated day, a day at the broker, a recorded day."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from holdfast.app.cli.ending import ExitCode, unwrapped
from holdfast.app.cli.frame import Frame, emit, emit_json, say, verb
from holdfast.app.cli.progress import shown_progress
from holdfast.app.cli.reading import config_in_force, records_of, runs_of
from holdfast.app.cli.setup import armed_limits
from holdfast.app.config import CONFIG_FILE, Config, Mode, with_setting
from holdfast.app.log import logging_to
from holdfast.app.program import Host
from holdfast.app.realtime import household, outlook, run_dhan
from holdfast.app.wiring import Progress, Run, RunResult, run_replay, run_sim, stored_config
from holdfast.app.yes import account_locks, require_no_yes, require_yes
from holdfast.control.socket import socket_path
from holdfast.domain.errors import DataRefused
from holdfast.facts.ist import ist_text
from holdfast.research import report_text
from holdfast.research.bundle import SUFFIX, open_bundle, tape_of
from holdfast.research.parts import Report, Work
from holdfast.research.report import fold_report, shortfalls
from holdfast.research.text import grouped
from holdfast.runtime.systemd import Systemd

_NO_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")
_SHAPE: Final = (
    '{"run": "MODE/NAME", "exit_code": 0, "floor": {...}, "missed": [], "report": {...}}'
)

Play = Callable[[Path, Progress], RunResult]


def _floor(
    _context: click.Context, _option: click.Parameter, given: tuple[str, ...]
) -> dict[str, int]:
    floor: dict[str, int] = {}
    for entry in given:
        name, _, number = entry.partition("=")
        if name not in Work.__struct_fields__ or not number.isdecimal():
            known = ", ".join(Work.__struct_fields__)
            raise click.BadParameter(f"{entry} is not NAME=NUMBER with a name of: {known}")
        floor[name] = int(number)
    return floor


anew_option = click.option(
    "--anew", is_flag=True, help="Begin the day anew, whatever there is of it."
)

floor_option = click.option(
    "--floor",
    multiple=True,
    metavar="NAME=NUMBER",
    callback=_floor,
    help="Fail unless so much was done: ticks=250000, trades=3, ... May be repeated.",
)


@verb(
    example="holdfast run\nholdfast run --seed 2 --floor ticks=250000 --floor trades=3",
    shape=_SHAPE,
)
@click.option("--seed", type=int, help="sim: another day than that of [sim] seed.")
@click.option("--day", metavar="DATE", help="sim: another date than [sim] day.")
@click.option(
    "--i-understand-this-is-real-money",
    "owner",
    metavar="ACCOUNT-ID",
    help="live: the broker's number of the account whose money it is.",
)
@anew_option
@floor_option
def run(  # noqa: PLR0913 one for each option
    frame: Frame,
    *,
    seed: int | None,
    day: str | None,
    owner: str | None,
    anew: bool,
    floor: dict[str, int],
    as_json: bool,
) -> int:
    """Trade one day, in the mode of the configuration, and report on it.

    In sim the day is generated and passes as fast as configured; a finished run of the same day and
    seed is replaced. In paper and live it is today, at the broker; start before the market opens or
    while it is open. A run that was stopped or killed before its day was over is continued.

    The report goes to stdout, what the run cost goes to stderr.
    """
    config = config_in_force(frame)
    asked = {"sim.seed": seed, "sim.day": day}
    if config.mode is Mode.REPLAY:
        raise DataRefused(
            str(frame.config_file),
            f"mode {config.mode} is not run but replayed",
            'use holdfast replay TAPE, or set mode = "sim"',
        )
    if config.mode.is_real_time:
        require_yes(config, owner, anew=anew, asked=[name for name in asked if asked[name]])
        label, play = _at_the_broker(frame, config)
    else:
        for path, given in asked.items():
            if given is not None:
                config = with_setting(config, path, given, where=f"--{path.removeprefix('sim.')}")
        label, play = _generated(frame, config)
        require_no_yes(owner)
    report, told = _play(frame, config, label, play, anew=anew)
    return _tell(report, told, floor, as_json=as_json)


def _generated(frame: Frame, config: Config) -> tuple[str, Play]:
    """A simulated day: what its run is called, and how it is played."""

    def play(folder: Path, progress: Progress) -> RunResult:
        return run_sim(config, folder, progress, host_of(frame, config))

    return f"{Mode.SIM}/{config.sim.day}-seed{config.sim.seed}", play


def _at_the_broker(frame: Frame, config: Config) -> tuple[str, Play]:
    """Today in paper or live. Raises DataRefused when there is nothing to trade today."""
    home = household(frame.paths, config, os.environ)
    seen = outlook(config, home.calendar)
    if seen.waits_s:
        hours, minutes = divmod(seen.waits_s // 60, 60)
        opens = ist_text(seen.session.open_ns)[:5]
        say(f"the market is closed; it opens at {opens} in India, in {hours} h {minutes} min")

    def play(folder: Path, progress: Progress) -> RunResult:
        run = Run(
            folder=folder, progress=lambda done: progress(done, 0), host=host_of(frame, config)
        )
        return run_dhan(config, seen, run, home=home)

    return f"{config.mode}/{seen.facts.day}", play


@verb(
    example="holdfast replay my-tape\nholdfast replay sim-2026-11-20-seed1.bundle",
    shape=_SHAPE,
)
@click.argument("tape", type=click.Path(path_type=Path))
@anew_option
@floor_option
def replay(frame: Frame, *, tape: Path, anew: bool, floor: dict[str, int], as_json: bool) -> int:
    """Trade a recorded day through the same engine and a simulated exchange, and report on it.

    TAPE is a folder, the name of an imported tape, or a bundle. A bundle is opened beside the runs
    and replayed with the configuration in it; other verbs take the folder that it is opened into.
    """
    config = config_in_force(frame)
    imported = frame.paths.tapes_dir(config.account.client_id) / tape
    folder = tape if tape.exists() or not imported.exists() else imported
    name = _NO_NAME.sub("-", folder.resolve().name).strip(".-") or "tape"
    if tape.suffix == SUFFIX:
        config, folder = _opened(frame, config, tape)

    def play(run_dir: Path, progress: Progress) -> RunResult:
        return run_replay(config, folder, run_dir, progress, host_of(frame, config))

    report, told = _play(frame, config, f"{Mode.REPLAY}/{name}", play, anew=anew)
    return _tell(report, told, floor, as_json=as_json)


def _opened(frame: Frame, config: Config, bundle: Path) -> tuple[Config, Path]:
    """Open a bundle; the configuration that its run was made with, for this account, and its tape."""
    account = config.account.client_id
    target = frame.paths.account_dir(account) / "bundles" / bundle.stem
    if target.exists():
        shutil.rmtree(target)
    open_bundle(bundle, target)
    say(f"opened into {target}")
    kept = stored_config(target / CONFIG_FILE)
    owned = msgspec.structs.replace(kept.account, client_id=account)
    return msgspec.structs.replace(kept, account=owned), tape_of(target)


def host_of(frame: Frame, config: Config) -> Host:
    """What of this process the day may use."""
    return Host(
        signals=frame.signals,
        systemd=Systemd.of(os.environ),
        control=socket_path(frame.paths.locks_dir, config.account.client_id),
    )


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Which run it was and how it ended."""

    run: str
    exit_code: int


def _play(
    frame: Frame, config: Config, label: str, play: Play, *, anew: bool
) -> tuple[Report | None, Told]:
    """Play a run into a folder of its own, which replaces the one before when it is done.

    There is no report of a run that was stopped before it began.
    """
    say(armed_limits(config))
    runs = runs_of(frame, config)
    mode, _, name = label.partition("/")
    with (
        account_locks(frame.paths, config, purpose=label),
        runs.playing(mode, name, anew=anew) as folder,
    ):
        if folder.continues:
            say(f"goes on with {label}, which was not over (begin anew with: --anew)")
        with unwrapped(), logging_to(folder.path), shown_progress(label) as progress:
            result = play(folder.path, progress)
        if not result.stopped_early:
            folder.finish()
        report = fold_report(records_of(folder.path)) if result.has_begun else None
    _tell_costs(result)
    return report, Told(run=label, exit_code=result.exit_code)


def _tell(report: Report | None, told: Told, floor: dict[str, int], *, as_json: bool) -> int:
    if report is None:
        if as_json:
            emit_json(
                {**msgspec.structs.asdict(told), "floor": floor, "missed": [], "report": None}
            )
        return told.exit_code
    missed = shortfalls(report.work, floor)
    if as_json:
        answer: dict[str, Any] = {**msgspec.structs.asdict(told), "floor": floor, "missed": missed}
        emit_json({**answer, "report": report})
    else:
        mode = told.run.partition("/")[0]
        emit(report_text.render(report, mode) + _floor_text(report.work, floor))
    for line in missed:
        say(f"below the floor: {line}")
    return ExitCode.VERIFICATION_FAILED if missed else told.exit_code


def _floor_text(work: Work, floor: dict[str, int]) -> str:
    if not floor:
        return ""
    done: dict[str, int] = msgspec.structs.asdict(work)
    lines = (f"  {name} {grouped(done[name])}, at least {grouped(n)}" for name, n in floor.items())
    return "\n".join(["", "Floor", *lines]) + "\n"


def _tell_costs(result: RunResult) -> None:
    if not result.has_begun:
        say("stopped before it began, as asked")
        return
    if result.stopped_early:
        say("stopped early, as asked")
    say("cost: " + ", ".join(f"{name} {value}" for name, value in result.wall.items()))
