"""Every command of the runbook is typed, in its order, beside a program that trades at the broker.

The trouble of a section is made at the simulated broker before its commands are typed.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.support.examples import Step, blocks, missing_line, run_holdfast, steps
from tests.support.live_desk import HELD, UNDERSTOOD, LiveDesk
from tools import CHECKOUT

pytestmark = pytest.mark.timeout(300)

TEXT: Final = (CHECKOUT / "docs" / "runbook.md").read_text("utf-8")
SECTION: Final = re.compile(
    r"^#+ (?P<title>[^\n]+)$(?P<body>.*?)(?=^#+ |\Z)", re.MULTILINE | re.DOTALL
)
COMMANDS_FLOOR: Final = 22
TROUBLES: Final = (
    "Internet gone, with positions",
    "Token dead",
    "Disk full",
    "Drift",
    "Stuck exit",
    "Expiry day",
    "Broker down",
)
OWNERS: Final = 40_025
"""The contract that the owner of the account trades in the app."""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[LiveDesk]:
    """A broker at 09:40; an entry comes at 09:42."""
    made = LiveDesk(tmp_path, start_ist="09:40", speed=8)
    try:
        yield made
    finally:
        made.close()


def lose_the_line(desk: LiveDesk) -> None:
    """Neither the feed nor the REST host is there for a quarter of a minute."""
    lost = ("connect_refused", "feed_drop", "updates_drop")
    desk.ask("POST", "/faults", [{"kind": kind, "for_s": 15} for kind in lost])


def let_another_log_in(desk: LiveDesk) -> None:
    """Our token is dead."""
    desk.ask("POST", "/token")


def trade_in_the_app(desk: LiveDesk) -> None:
    """The owner buys something, and holdfast finds it."""
    trade = {"act": "trade", "security_id": OWNERS, "side": "BUY", "quantity": 65, "price": 500.0}
    desk.ask("POST", "/owner", trade)
    desk.until("a difference", lambda: f":{OWNERS}:" in desk.tell("drift").stdout)


def break_the_broker(desk: LiveDesk) -> None:
    """Every call is answered with a page of HTML for a while."""
    desk.ask("POST", "/faults", [{"kind": "bad_gateway", "for_s": 20}])


def kill_the_program(desk: LiveDesk) -> None:
    """As the machine would, when it has no memory left."""
    assert desk.program is not None
    desk.program.kill()
    desk.program.wait()
    desk.program = None
    desk.ask("DELETE", "/faults")


def end_the_day(desk: LiveDesk) -> None:
    """The program that was started again trades, and is asked to end."""
    desk.until("the program", lambda: desk.status().get("program"))
    assert desk.end() in (0, 10), desk.said()


MAKE: Final[Mapping[str, Callable[[LiveDesk], None]]] = {
    "Internet gone, with positions": lose_the_line,
    "Token dead": let_another_log_in,
    "Drift": trade_in_the_app,
    "Broker down": break_the_broker,
    "The program is gone": kill_the_program,
    "After the trouble": end_the_day,
}


def sections() -> dict[str, list[Step]]:
    """The commands of each section."""
    return {
        found["title"]: [step for one in blocks(found["body"]) for step in steps(one.text)]
        for found in SECTION.finditer(TEXT)
    }


def test_every_trouble_has_its_section_and_every_block_is_typed() -> None:
    """What is seen, what it does, what is typed; and no block that the test below leaves out."""
    found = {match["title"]: match["body"] for match in SECTION.finditer(TEXT)}
    for trouble in TROUBLES:
        for word in ("**You see**", "**It does**", "**You type**"):
            assert word in found[trouble], (trouble, word)
    assert {(block.kind, *block.words) for block in blocks(TEXT)} == {("console", "live")}
    assert set(MAKE) <= set(found)


def test_each_command_does_what_the_runbook_says(desk: LiveDesk) -> None:
    """In one session in live mode, with the trouble of its section at the broker."""
    desk.configure(more=HELD)
    desk.keep_passwords()
    assert desk.tell("login").returncode == 0
    desk.run()
    desk.until_resting()
    typed = 0
    for title, commands in sections().items():
        if title in MAKE:
            MAKE[title](desk)
        for step in commands:
            type_in(desk, title, step)
            typed += 1
    print(f"{typed} commands typed, floor {COMMANDS_FLOOR}")  # noqa: T201 the floor beside it
    assert typed >= COMMANDS_FLOOR
    rows = desk.truth()["positions"]
    ours = [one for one in rows if not one["instrument"].endswith(f":{OWNERS}")]
    assert all(one["bought"] == one["sold"] for one in ours), ours


def type_in(desk: LiveDesk, title: str, step: Step) -> None:
    """One command of a section; a run goes on beside what follows."""
    if step.command.startswith("holdfast run"):
        assert step.command == " ".join(("holdfast run", *UNDERSTOOD))
        desk.run()
        return
    done = run_holdfast(step.command, desk.home)
    where = f"{title} $ {step.command}\n{done.stdout}\n{desk.said()[-1_500:]}"
    assert done.returncode == step.exit_code, where
    assert missing_line(step.printed, done.stdout) is None, where
