"""Named faults of the wire, the broker and its market, each with a position open or on its way.

`make test` plays twelve of them, `make faults` all (HOLDFAST_FAULTS=all). Any other word in its place
plays those that have it in their names: HOLDFAST_FAULTS=token.
"""

import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from tests.process.faults.life import CLIENT, Broker, Program, living
from tests.process.faults.market import write_tape
from tests.process.faults.player import Player, Verdict
from tests.process.faults.scenario import Scenario
from tests.process.faults.table import TABLE, lanes
from tests.support.command import START, environment

pytestmark = pytest.mark.timeout(600)

FLOOR: Final = 60
OF_TEST: Final = 12
SEED: Final = 7
SPEED: Final = int(os.environ.get("HOLDFAST_FAULTS_SPEED", "10"))
ASKED: Final = os.environ.get("HOLDFAST_FAULTS", "")
MOST: Final = 12 if ASKED else 6


def rows_asked(asked: str) -> list[Scenario]:
    """All of them, those of `make test` for nothing, or those with the word in their names."""
    if not asked:
        return [row for row in TABLE if row.is_for_test]
    return [row for row in TABLE if asked == "all" or asked in row.name]


ROWS: Final = rows_asked(ASKED)
LANES: Final = lanes(ROWS, MOST)


@pytest.fixture(scope="session")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The market of every scenario."""
    folder = tmp_path_factory.mktemp("waves") / "tape"
    write_tape(folder, SEED)
    return folder


def claimed(rows: list[Scenario]) -> list[str]:
    """What the rows prove together; that there are such faults at all is T29."""
    return sorted({"T29", *(name for row in rows for name in row.ids)})


def test_the_table_names_each_scenario_once_and_enough_of_them() -> None:
    """Every one is in exactly one life; twelve of them are played by `make test`."""
    assert len({row.name for row in TABLE}) == len(TABLE) >= FLOOR
    assert sum(row.is_for_test for row in TABLE) == OF_TEST
    played = Counter(row.name for lane in lanes(TABLE, MOST) for row in lane)
    assert played == Counter(row.name for row in TABLE)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(rows, id=f"life-{number}", marks=pytest.mark.proves(*claimed(rows)))
        for number, rows in enumerate(LANES)
    ],
)
def test_nothing_is_lost_doubled_or_left_alone(
    tmp_path: Path, tape: Path, rows: list[Scenario]
) -> None:
    """
    After each scenario our books are the truth, no id reached the broker twice, and what was held
    was protected within two seconds, or entries were visibly off with the reason.
    """
    verdicts: list[Verdict] = []
    with living(tmp_path, tape=tape, speed=SPEED, exit_by=rows[0].exit_by) as life:
        player = Player(life)
        verdicts.extend(player.play(row) for row in rows)
    print(_table(verdicts))  # noqa: T201 a Show
    wrong = [f"{one.name}: {one.wrong}" for one in verdicts if one.wrong]
    assert not wrong, "\n".join(wrong)
    assert all(one.strikes for one in verdicts)


def _table(verdicts: list[Verdict]) -> str:
    heading = f"{'scenario':<58} {'strikes':>7} {'bare ms':>7} {'unprotected ms':>14} {'wall s':>6}  verdict"
    lines = [
        f"{one.name:<58} {one.strikes:>7} {one.bare_ms:>7} {one.unprotected_ms:>14} {one.took_s:>6}  "
        f"{one.wrong or 'holds'}{f' (entries off: {one.disarmed})' if one.disarmed else ''}"
        for one in verdicts
    ]
    return "\n".join([heading, *lines])


@pytest.mark.parametrize("kind", ["bad_gateway", "server_error", "empty_body", "half_json"])
def test_without_the_list_of_contracts_nothing_begins(
    tmp_path: Path, tape: Path, kind: str
) -> None:
    """The start is refused with a code and words of its own, and no order is sent."""
    options = ("--tape", str(tape), "--start-ist", "09:16:00", "--speed", str(SPEED))
    broker = Broker(tmp_path, *options)
    try:
        broker.ask("POST", "/faults", [{"kind": kind, "endpoints": ["instruments"]}])
        program = Program(tmp_path, broker)
        code = program.process.wait(180)
        told: dict[str, Any] = broker.truth()
    finally:
        broker.kill()
    assert (code, told["orders"]) == (5, []), program.told()
    assert "Traceback" not in program.told()
    assert "today's list of contracts could not be fetched" in program.told()


@pytest.mark.proves("MFH-6")
def test_the_reason_is_shown_to_a_person(tmp_path: Path, tape: Path) -> None:
    """`holdfast status --json` names the term that keeps entries off, and its figures."""
    with living(tmp_path, tape=tape, speed=SPEED) as life:
        life.broker.ask("POST", "/faults", [{"kind": "feed_mute"}])
        life.until(lambda view: view["blocked_by"] is not None, "the term", within_s=60)
        done = subprocess.run(
            [*START, "--home", str(tmp_path), "status", "--json"],
            cwd=tmp_path,
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            check=True,
        )
    told = json.loads(done.stdout)
    assert told["account"] == CLIENT
    assert told["program"]["view"]["blocked_by"], "the term, and beside it its figures"
    feed = told["program"]["feed"]
    assert (feed["is_up"], feed["wanted"] > 0, feed["dials"] > 0) == (False, True, True)
