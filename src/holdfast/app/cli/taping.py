"""The verb that makes tapes out of what others recorded."""

from pathlib import Path

import click
import msgspec

from holdfast.app.cli.frame import Frame, emit, emit_json, verb
from holdfast.app.cli.reading import config_in_force
from holdfast.app.wiring import import_tape
from holdfast.research.text import clock_ms, figures
from holdfast.store.imports.upstox import ImportReport


@verb(
    example="holdfast tape import recorded.parquet --format upstox-full\n"
    "holdfast tape import recorded.parquet --format upstox-full --to my-tape",
    shape='{"target": "...", "day": "2025-12-15", "rows_read": 0, "rows_written": 0, ...}',
)
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["upstox-full"]),
    required=True,
    help="Whose recording it is.",
)
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The new folder; by default among the account's tapes, named after the file.",
)
def tape_import(
    frame: Frame, *, source: Path, form: str, target: Path | None, as_json: bool
) -> int:
    """Turn a recorded file into a tape, whole or not at all.

    What the recording lacks is added and said so in the tape's header; what is wrong with it is
    mended by a stated rule and counted, or refused with its row.
    """
    assert form == "upstox-full", "the only form there is"
    tapes = frame.paths.tapes_dir(config_in_force(frame).account.client_id)
    report = import_tape(source, target or tapes / source.stem)
    if as_json:
        emit_json(report)
    else:
        emit(_told(report))
    return 0


def _told(report: ImportReport) -> str:
    named = ("target", "day", "first_at_ns", "last_at_ns")
    counts = {
        name: value for name, value in msgspec.structs.asdict(report).items() if name not in named
    }
    return (
        f"tape of {report.day}, {clock_ms(report.first_at_ns)} to {clock_ms(report.last_at_ns)}\n"
        + "".join(f"  {figures({name: value})}\n" for name, value in counts.items())
        + f"in {report.target}\nnext: holdfast replay {report.target}\n"
    )
