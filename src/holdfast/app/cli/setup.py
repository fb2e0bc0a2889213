"""The verbs before the first run: a configuration, its check, and where things lie."""

from pathlib import Path

import click

from holdfast.app.cli.frame import Frame, emit, emit_json, verb
from holdfast.app.config import Config, config_sha256, effective, init_text, load_config
from holdfast.app.kinds import literal
from holdfast.domain.errors import DataRefused
from holdfast.research.text import percent, rupees


@verb(example="holdfast init", shape='{"config_file": "/.../holdfast.toml"}')
def init(frame: Frame, *, as_json: bool) -> int:
    """Write a configuration that holds every default, with a comment at each.

    An existing file is never touched.
    """
    file = frame.config_file
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(init_text())
    except FileExistsError:
        raise DataRefused(
            str(file), "exists already", "edit it, or move it away and run init again"
        ) from None
    if as_json:
        emit_json({"config_file": str(file)})
    else:
        emit(f"wrote {file}\nnext: holdfast run\n")
    return 0


@verb(
    example="holdfast config check\nholdfast config check other.toml",
    shape='{"file": "...", "sha256": "...", "settings": {"exits.stop_bps": 1200, ...}}',
)
@click.argument("file", type=click.Path(path_type=Path), required=False)
def config_check(frame: Frame, *, file: Path | None, as_json: bool) -> int:
    """Read a configuration as strictly as a run does, and print every value in force."""
    wanted = file or frame.config_file
    config = load_config(wanted)
    if as_json:
        settings = effective(config)
        emit_json({"file": str(wanted), "sha256": config_sha256(config), "settings": settings})
        return 0
    lines = [f"{path} = {literal(value)}" for path, value in effective(config).items()]
    emit(
        "\n".join([*lines, "", armed_limits(config), f"sha256 {config_sha256(config)}"])
        + f"\n{wanted}: good\n"
    )
    return 0


@verb(
    example="holdfast paths",
    shape='{"config_file": "...", "strategies_dir": "...", "data_dir": "...", "log_file": "..."}',
)
def paths(frame: Frame, *, as_json: bool) -> int:
    """Print where configuration, data and log lie, whether or not they exist yet."""
    told = {
        "config_file": str(frame.config_file),
        "strategies_dir": str(frame.paths.strategies_dir),
        "data_dir": str(frame.paths.data_dir),
        "log_file": str(frame.paths.log_file),
    }
    if as_json:
        emit_json(told)
    else:
        emit("".join(f"{name:<15} {path}\n" for name, path in told.items()))
    return 0


def armed_limits(config: Config) -> str:
    """The limits that hold, in rupees and percent: a limit that nobody sees may not be one."""
    risk_paise = config.sizing.capital_paise * config.sizing.risk_bps // 10_000
    return (
        f"armed: loss per day {rupees(config.limits.loss_per_day_paise_max)}, loss per trade"
        f" {rupees(risk_paise)} ({percent(config.sizing.risk_bps)} of"
        f" {rupees(config.sizing.capital_paise)}), {config.entries.positions_open_max} positions at"
        f" once, {config.entries.trades_per_day_max} trades a day, {config.sizing.lots_max} lots"
    )
