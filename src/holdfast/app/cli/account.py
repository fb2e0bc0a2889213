"""The verbs about the account at the broker: its session, and today's contracts."""

import os
import sys

import click
import msgspec

from holdfast.app.cli.frame import Frame, emit, emit_json, say, verb
from holdfast.app.cli.reading import config_in_force, running_on
from holdfast.app.logins import By, Opened, Person, load_list, log_in
from holdfast.app.realtime import household
from holdfast.app.yes import host_locks_dir
from holdfast.facts.ist import ist_date, ist_text


@verb(
    example="holdfast login\nholdfast login --by token < token.txt",
    shape='{"client_id": "1000000001", "how": "stored", "valid_until_ns": 0, "fault": ""}',
)
@click.option(
    "--by",
    type=click.Choice([way.value for way in By]),
    help="How: with PIN and one-time password, in a browser, or by a token from the broker's page.",
)
def login(frame: Frame, *, by: str | None, as_json: bool) -> int:
    """Open a session at the broker, or say how long the open one lasts.

    Without --by an open session is left as it is; else it is opened as there is means for. Secrets
    are read from the environment, the account's passwords.toml or the keyring, and from stdin; none
    is ever an argument.
    """
    config = config_in_force(frame)
    opened = log_in(
        config,
        household(frame.paths, config, os.environ),
        Person(show=say, ask=_ask),
        by=By(by) if by is not None else None,
        is_running=_is_running(frame, config.account.client_id),
    )
    if as_json:
        emit_json(opened)
    else:
        emit(_told(opened))
    return 0


def _is_running(frame: Frame, client_id: str) -> bool:
    """Whether a run holds the account: of this home, or any of this user's at the real broker."""
    host = msgspec.structs.replace(frame.paths, locks_dir=host_locks_dir())
    frames = (frame, msgspec.structs.replace(frame, paths=host))
    return any(running_on(one, client_id) is not None for one in frames)


def _told(opened: Opened) -> str:
    until = f"{ist_date(opened.valid_until_ns)} {ist_text(opened.valid_until_ns)[:5]}"
    lines = [f"session of {opened.client_id} ({opened.how}), until {until} in India"]
    if opened.fault:
        lines.append(f"cannot trade options: {opened.fault}")
    return "\n".join(lines) + "\n"


def _ask(what: str) -> str:
    """A line from the terminal, unseen, or from a pipe."""
    if sys.stdin.isatty():
        return str(click.prompt(what, hide_input=True, err=True))
    return sys.stdin.readline()


@verb(
    example="holdfast instruments\nholdfast instruments --anew",
    shape='{"day": "2026-11-20", "rows": 0, "taken": {"NIFTY index": 1, ...}, "sha256": "...", ...}',
)
@click.option("--anew", is_flag=True, help="Fetch it again although today's is there.")
def instruments(frame: Frame, *, anew: bool, as_json: bool) -> int:
    """Fetch today's list of contracts, once a day, and say what of it is traded."""
    config = config_in_force(frame)
    home = household(frame.paths, config, os.environ)
    loaded = load_list(config, home, anew=anew)
    if as_json:
        emit_json(loaded)
        return 0
    taken = "".join(f"  {count:>7} {name}\n" for name, count in loaded.taken.items())
    left = "".join(f"  {count:>7} left out: {why}\n" for why, count in loaded.left_out.items())
    emit(
        f"list of {loaded.day}, {loaded.rows} rows, changed {loaded.last_modified or 'unknown'}\n"
        f"{taken}{left}sha256 {loaded.sha256}\n"
    )
    return 0
