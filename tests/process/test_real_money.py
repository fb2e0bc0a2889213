"""Real money moves only after both yeses and the broker's own word; each alone is refused."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typing_extensions import override

from tests.support.command import holdfast
from tests.support.live_desk import LiveDesk

pytestmark = pytest.mark.timeout(90)

OPTION = "--i-understand-this-is-real-money"
OWN = "1000000001"
SECRET = "a-token-that-nobody-may-see"  # noqa: S105 nobody's

PROFILE = {
    "tokenValidity": "21/11/2026 10:00",
    "activeSegment": "E, D, C, M, ",
    "ddpi": "Active",
    "mtf": "Deactive",
    "dataPlan": "Active",
    "dataValidity": "2026-12-29 17:52:44.0",
}


class Broker:
    """Answers one question, whose account it is, and keeps every other."""

    def __init__(self, client_id: str) -> None:
        self.asked: list[str] = []
        profile = json.dumps({"dhanClientId": client_id, **PROFILE}).encode()
        asked = self.asked

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # other methods are answered with a refusal
                asked.append(self.path)
                self.send_response(200 if self.path == "/v2/profile" else 404)
                self.send_header("Content-Length", str(len(profile)))
                self.end_headers()
                self.wfile.write(profile)

            @override
            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.sockets = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def sockets_opened(self) -> int:
        """How many connections were made to the sockets of feed and orders."""
        self.sockets.setblocking(False)  # noqa: FBT003 its own name for it
        opened = 0
        try:
            while True:
                self.sockets.accept()[0].close()
                opened += 1
        except BlockingIOError:
            return opened

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.sockets.close()
        self.thread.join()

    def configured(self, home: Path, mode: str) -> None:
        """A home whose account is to be found here."""
        rest, sockets = self.server.server_address[1], self.sockets.getsockname()[1]
        (home / "holdfast.toml").write_text(
            f"""
mode = "{mode}"
[account]
client_id = "{OWN}"
[dhan]
rest_url = "http://127.0.0.1:{rest}/v2"
auth_url = "http://127.0.0.1:{rest}"
feed_url = "ws://127.0.0.1:{sockets}"
updates_url = "ws://127.0.0.1:{sockets}"
instruments_url = "http://127.0.0.1:{rest}"
[clock]
start = "2026-11-20 10:00:00"
""",
            "utf-8",
        )


@pytest.fixture
def another() -> Iterator[Broker]:
    """The broker, whose token is another account's."""
    made = Broker("1000000002")
    yield made
    made.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[LiveDesk]:
    """The simulated broker, in mid-morning, with an open session."""
    made = LiveDesk(tmp_path, start_ist="10:00", speed=1)
    try:
        yield made
    finally:
        made.close()


def run(home: Path, *arguments: str) -> tuple[int, str]:
    """The exit code and what was said."""
    done = holdfast("--home", str(home), "run", *arguments, home=home, DHAN_ACCESS_TOKEN=SECRET)
    return done.returncode, done.stderr


@pytest.mark.parametrize("said", [[], [OPTION, "1000000002"], [OPTION, ""]])
def test_live_in_the_file_alone_is_refused(
    tmp_path: Path, another: Broker, said: list[str]
) -> None:
    """Without the option, or with another account: nothing at all is asked of the broker."""
    another.configured(tmp_path, "live")
    code, told = run(tmp_path, *said)
    assert code == 3
    assert OPTION in told or "names the account" in told
    assert (another.asked, another.sockets_opened) == ([], 0)


@pytest.mark.parametrize("mode", ["sim", "paper"])
def test_the_option_alone_is_refused(tmp_path: Path, another: Broker, mode: str) -> None:
    """Whoever says it believes that money moves."""
    another.configured(tmp_path, "paper" if mode == "paper" else "live")
    file = tmp_path / "holdfast.toml"
    if mode == "sim":
        file.write_text(f'mode = "sim"\n[account]\nclient_id = "{OWN}"\n', "utf-8")
    code, told = run(tmp_path, OPTION, OWN)
    assert code == 3
    assert "no real money moves" in told
    assert (another.asked, another.sockets_opened) == ([], 0)


def test_both_yeses_for_another_account_are_refused(tmp_path: Path, another: Broker) -> None:
    """By the broker's own word, before any socket for feed or orders was opened."""
    another.configured(tmp_path, "live")
    code, told = run(tmp_path, OPTION, OWN)
    assert code == 3, told
    assert "the broker's session is that of 1000000002" in told
    assert set(another.asked) == {"/v2/profile"}
    assert another.sockets_opened == 0
    assert SECRET not in told
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not any(SECRET.encode() in file.read_bytes() for file in written)


@pytest.mark.parametrize(
    ("start", "opens"),
    [
        ("2026-11-20 15:45:00", "2026-11-23 09:15"),
        ("2026-11-21 10:00:00", "2026-11-23 09:15"),
    ],
)
@pytest.mark.parametrize("mode", ["paper", "live"])
def test_a_closed_market_is_told_with_when_it_opens(
    tmp_path: Path, another: Broker, mode: str, start: str, opens: str
) -> None:
    """After the close and on a Saturday: exit code 3, and nothing is asked of the broker."""
    another.configured(tmp_path, mode)
    file = tmp_path / "holdfast.toml"
    file.write_text(file.read_text("utf-8").replace("2026-11-20 10:00:00", start), "utf-8")
    code, told = run(tmp_path, *([OPTION, OWN] if mode == "live" else []))
    assert code == 3
    assert "the market is closed for today" in told
    assert f"it opens at {opens}" in told
    assert another.asked == []


REFUSED = {
    "the file alone": ("live", []),
    "the option alone": ("paper", [OPTION, OWN]),
    "another account's number": ("live", [OPTION, "1000000002"]),
}


@pytest.mark.parametrize(("mode", "said"), REFUSED.values(), ids=list(REFUSED))
def test_a_yes_alone_never_reaches_the_real_broker(
    tmp_path: Path, mode: str, said: list[str]
) -> None:
    """Its addresses stand in the configuration by default: refused before anything looks for them.

    A process that a test starts ends with 70 when it looks up or connects to another machine.
    """
    (tmp_path / "holdfast.toml").write_text(f'mode = "{mode}"\n[account]\nclient_id = "{OWN}"\n')
    code, told = run(tmp_path, *said)
    assert code == 3, told
    assert OPTION in told or "names the account" in told or "no real money moves" in told
    assert "speaks to itself only" not in told
    assert SECRET not in told


def test_the_brokers_own_truth_knows_of_no_refused_start(desk: LiveDesk) -> None:
    """With a good token and an open market nothing is asked of it, and nothing is opened.

    Last with both yeses, and a token that says itself that it is somebody else's: no socket either.
    """
    token = desk.ready["token"]
    for mode, said in REFUSED.values():
        desk.configure(mode=mode)
        assert refused(desk, *(said or ["--json"]), DHAN_ACCESS_TOKEN=token) == 3, desk.said()
        truth = desk.truth()
        assert (truth["requests"], truth["connections"], truth["counts"]) == ([], [], {})
    desk.configure(mode="live")
    text = desk.config_file.read_text("utf-8").replace(f'"{OWN}"', '"1000000009"')
    desk.config_file.write_text(text, "utf-8")
    assert refused(desk, OPTION, "1000000009", DHAN_ACCESS_TOKEN=token) == 3, desk.said()
    assert "1000000001" in desk.said()
    truth = desk.truth()
    assert (truth["requests"], truth["connections"]) == ([], [])
    assert set(truth["counts"]) <= {"profile"}


def refused(desk: LiveDesk, *said: str, **env: str) -> int:
    """How a start ends that is to be refused."""
    desk.run(*said, **env)
    assert desk.program is not None
    return desk.program.wait(60)
