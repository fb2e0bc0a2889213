"""What verbs read: the configuration in force, the run that is meant, and its journal."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from holdfast.app.cli.frame import Frame, say
from holdfast.app.config import CONFIG_FILE, Config, load_config
from holdfast.app.paths import Runs, is_alive
from holdfast.domain.event import InstrumentsLoaded
from holdfast.runtime.lock import Holder
from holdfast.store import query, schema
from holdfast.store.records import Record


def config_in_force(frame: Frame) -> Config:
    """The file's configuration; the defaults when none was named and none was ever written.

    The defaults trade a simulated day only. Raises DataRefused.
    """
    if not frame.config_named and not frame.config_file.exists():
        say(f"no configuration at {frame.config_file}: defaults (write one with: holdfast init)")
        return Config()
    return load_config(frame.config_file)


def runs_of(frame: Frame, config: Config) -> Runs:
    """The runs of the configured account."""
    return Runs(frame.paths.account_dir(config.account.client_id))


def find_run(frame: Frame, wanted: str | None) -> Path:
    """The folder of the run that is meant, by default of the newest. Raises DataRefused."""
    return runs_of(frame, config_in_force(frame)).find(wanted)


def running_on(frame: Frame, account: str) -> Holder | None:
    """Who holds the account's lock, `None` when nobody does.

    Read without touching the lock: asking must not make a start fail at the same moment.
    """
    try:
        written = (frame.paths.locks_dir / f"{account}.lock").read_bytes()
        holder = msgspec.json.decode(written, type=Holder)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    # A process that was killed leaves its word behind, but not its number.
    return holder if is_alive(holder.pid) else None


def run_label(run: Path) -> str:
    """`MODE/NAME` of a run where it was made, else its path."""
    if run.parent.name == "runs":
        return f"{run.parent.parent.name}/{run.name}"
    return str(run)


def mode_of(run: Path) -> str:
    """The mode of a run by the configuration that it keeps: "sim", "replay"."""
    try:
        kept = (run / CONFIG_FILE).read_bytes()
        return msgspec.json.decode(kept, type=Config).mode.value
    except (FileNotFoundError, msgspec.MsgspecError):
        return "mode unknown"


def journal_of(run: Path) -> Path:
    """The database of a run."""
    return run / schema.FILE_NAME


def records_of(run: Path) -> Iterator[tuple[int, Record]]:
    """The journal of a run in order. Raises DataRefused at the row that cannot be read."""
    return ((sequence, record) for sequence, _at_ns, record in query.records(journal_of(run)))


def symbols_of(run: Path) -> dict[str, str]:
    """The plain names of a run's instruments: the first thing that every start records."""
    for _sequence, record in records_of(run):
        if isinstance(record, InstrumentsLoaded):
            return {row.id: row.symbol for row in record.instruments}
    return {}
