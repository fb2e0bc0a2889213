"""The control socket: the owner's alone, answers from memory, and nobody can hold it up."""

import asyncio
import os
import socket
import stat
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from holdfast.control.operator import Deed, Done
from holdfast.control.socket import (
    LINE_BYTES_MAX,
    PATH_BYTES_MAX,
    Answer,
    Control,
    NoAnswer,
    ask,
    do,
    socket_path,
)
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import OperatorRequest
from holdfast.runtime.service import Group
from holdfast.runtime.supervisor import Supervisor
from holdfast.runtime.threads import Threads
from tests.support.chain import living, until
from tests.support.services import Toy
from tests.support.virtual import NoWallClock

CLIENT = "1000000001"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path: an address of a Unix socket has little room."""
    with tempfile.TemporaryDirectory(prefix="hf") as path:
        yield Path(path)


@pytest.fixture
def path(folder: Path) -> Path:
    """Where the socket of the account lies."""
    return socket_path(folder / "locks", CLIENT)


def status() -> dict[str, object]:
    """An answer."""
    return {"services": ["store"], "path": Path("x")}


@asynccontextmanager
async def listening(path: Path, **answers: Answer) -> AsyncIterator[Control]:
    """A control service that answers `status`, and what else it is given."""
    control = Control(path, {"status": status, **answers})
    async with living(control) as said:
        await until(lambda: said == [(True, "")], every_s=0.001)
        yield control


async def asked(path: Path, what: str = "status") -> bytes:
    """What the command line asks, from a thread, so that the loop is free to answer."""
    return await Threads().call("Ask", lambda: ask(path, what), owner="test")


async def sent(path: Path, line: bytes) -> bytes:
    """A line of somebody else's making, and all that came back."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def mode(path: Path) -> int:
    """Who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


def open_files() -> int:
    """How many files and sockets this process has open."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 a path would be opened for each


# -- who may speak to it


def test_it_is_the_owners_from_the_first_moment_and_gone_at_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0600 in a folder of 0700 before anybody can connect, and the process's own mask untouched."""
    modes: list[int] = []
    masks: list[int] = []
    listen = socket.socket.listen

    def look(line: socket.socket, *backlog: int) -> None:
        modes.append(mode(path))
        masks.append(os.umask(0o022))
        listen(line, *backlog)

    monkeypatch.setattr(socket.socket, "listen", look)
    before = os.umask(0o022)

    async def story() -> None:
        async with listening(path) as control:
            assert (mode(path), mode(path.parent)) == (0o600, 0o700)
            assert control.health().is_healthy
        assert control.health().reason == "nobody listens"

    try:
        asyncio.run(story())
    finally:
        os.umask(before)
    assert (modes, masks) == ([0o600], [0o022])
    assert not path.exists()


def test_a_folder_of_somebody_else_is_no_place_for_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever owns the folder could put another socket there; nothing is made in it."""
    monkeypatch.setattr(os, "getuid", lambda: 4_711)

    async def story() -> None:
        with structlog.testing.capture_logs():
            async with living(Control(path, {})) as said:
                assert said == []

    with pytest.raises(PermissionError, match="belongs to somebody else"):
        asyncio.run(story())
    assert not path.exists()


def test_a_stale_socket_of_a_process_that_was_killed_is_replaced(path: Path) -> None:
    """Nobody listens on it; who asks meanwhile hears so."""
    path.parent.mkdir()
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dead.bind(str(path))
    dead.close()
    with pytest.raises(DataRefused, match="does not answer"):
        ask(path, "status")

    async def story() -> None:
        async with listening(path):
            assert b"services" in await asked(path)

    asyncio.run(story())


def test_where_there_is_nothing_to_ask_it_says_so(path: Path) -> None:
    """A refusal for the operator, with what to do, and not a bare error of the system."""
    with pytest.raises(DataRefused) as refused:
        ask(path, "status")
    assert refused.value.where == str(path)
    assert "Ctrl+C" in refused.value.remedy


@pytest.mark.parametrize("length", [20, PATH_BYTES_MAX + 50])
def test_a_path_that_is_too_long_lies_elsewhere_and_is_found_by_both_sides(
    folder: Path, length: int
) -> None:
    """The same for the program and for whoever asks it; two folders have two places."""
    deep = folder / ("d" * length)
    place, other = socket_path(deep, CLIENT), socket_path(deep / "x", CLIENT)
    assert (place.parent == deep) == (length < PATH_BYTES_MAX)
    assert place == socket_path(deep, CLIENT)
    assert len({place, other, socket_path(deep, "1000000002")}) == 3
    assert len(os.fsencode(place)) <= PATH_BYTES_MAX

    async def story() -> None:
        async with listening(place):
            assert mode(place.parent) == 0o700
            assert b"services" in await asked(place)

    asyncio.run(story())
    assert not place.exists()


def test_a_socket_that_cannot_be_made_costs_nobody_else_anything(folder: Path) -> None:
    """It is a side service: given up with its reason, and the core runs on without it."""
    blocked = folder / "file"
    blocked.write_text("not a folder")

    async def story() -> None:
        async with asyncio.TaskGroup() as group:
            store = Toy("store")
            supervisor = Supervisor(
                [store, Control(blocked / f"{CLIENT}.sock", {})],
                group=group,
                threads=Threads(),
                clock=NoWallClock(),
                record=lambda _change: None,
            )
            await supervisor.start()

            def control() -> Any:
                return next(one for one in supervisor.status() if one.name == "control")

            await until(lambda: control().state.value == "parked")
            assert "Error" in control().reason
            assert store.lives == 1
            await supervisor.stop(*Group, within_s=5.0)
            await supervisor.close()

    with structlog.testing.capture_logs():
        asyncio.run(story())


# -- what is asked


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b'{"ask": "status"}\n', b'{"services":["store"],"path":"x"}\n'),
        (b'{"ask": "status"}', b'{"services":["store"],"path":"x"}\n'),
        (b'{"ask": "money"}\n', b'{"error":"money is none of: status"}\n'),
        (b"GET / HTTP/1.1\r\n", b'{"error":"JSON is malformed'),
        (b'{"ask": "status", "then": "rm"}\n', b'{"error":"Object contains unknown field'),
        (b'{"ask": 7}\n', b'{"error":"Expected `str`'),
        (b"\xff\xfe\n", b'{"error":'),
        (b"\n", b'{"error":'),
        (b"", b'{"error":'),
    ],
)
def test_a_request_is_answered_and_a_foreign_one_refused(
    path: Path, line: bytes, answer: bytes
) -> None:
    """Whatever it is: one line comes back, and the next one who asks is answered."""

    async def story() -> None:
        async with listening(path):
            got = await sent(path, line)
            assert got.startswith(answer), got
            assert got.endswith(b"\n")
            assert got.count(b"\n") == 1
            assert b"services" in await asked(path)

    asyncio.run(story())


def test_whoever_asks_for_what_is_not_known_is_refused_in_words(path: Path) -> None:
    """Of another version, perhaps: a refusal to the operator, not an answer to be misread."""

    async def story() -> None:
        async with listening(path):
            with pytest.raises(DataRefused, match="did not understand: money is none of: status"):
                await asked(path, "money")

    asyncio.run(story())


def test_a_line_without_an_end_is_cut_off(path: Path) -> None:
    """Longer than a request can be: not kept, not answered, and logged."""

    async def story() -> None:
        async with listening(path):
            assert await sent(path, b"x" * (LINE_BYTES_MAX + 1)) == b""
            assert b"services" in await asked(path)

    with structlog.testing.capture_logs() as logs:
        asyncio.run(story())
    assert [line["event"] for line in logs] == ["a request was not answered"]


def test_an_answer_that_was_torn_is_no_answer(path: Path) -> None:
    """The program died in the middle of it: who asked is told, and shows nothing by halves."""
    path.parent.mkdir()

    def serve(server: socket.socket, answer: bytes) -> None:
        line, _ = server.accept()
        with line:
            line.recv(LINE_BYTES_MAX)
            line.sendall(answer)

    for answer in (b"", b'{"services":[{"na'):
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            server.bind(str(path))
            server.listen()
            serving = threading.Thread(target=serve, args=(server, answer))
            serving.start()
            with pytest.raises(DataRefused, match="gave no answer"):
                ask(path, "status")
            serving.join()


# -- who is slow


def test_two_at_once_are_both_answered_while_a_third_says_nothing(path: Path) -> None:
    """Nobody waits for anybody."""

    async def story() -> None:
        async with listening(path):
            _, mute = await asyncio.open_unix_connection(path)
            async with asyncio.TaskGroup() as group:
                both = [group.create_task(sent(path, b'{"ask": "status"}\n')) for _ in range(2)]
            assert all(b"services" in one.result() for one in both)
            mute.close()
            await mute.wait_closed()

    asyncio.run(story())


def test_a_client_that_never_asks_or_never_reads_is_cut_off(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time of an answer nothing of it is left: no task, no open line, no full buffer."""
    monkeypatch.setattr("holdfast.control.socket.ANSWER_S", 0.2)

    def much() -> str:
        return "x" * 4_000_000

    async def story() -> None:
        loop = asyncio.get_running_loop()
        async with listening(path, much=much) as control:
            files = open_files()
            with socket.socket(socket.AF_UNIX) as mute, socket.socket(socket.AF_UNIX) as deaf:
                for line in (mute, deaf):
                    line.connect(str(path))
                deaf.sendall(b'{"ask": "much"}\n')
                began_s = loop.time()
                await until(lambda: len(control.tasks) == 2, every_s=0.001)
                assert b"services" in await asked(path)
                await until(lambda: not control.tasks, every_s=0.001)
                assert loop.time() - began_s >= 0.15
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert mute.recv(1) == b""
                assert open_files() == files + 2

    with structlog.testing.capture_logs() as logs:
        asyncio.run(story())
    assert [line["error"] for line in logs] == ["TimeoutError"] * 2


@pytest.mark.proves("APP-12")
def test_a_client_in_the_middle_of_it_does_not_outlive_the_stop(path: Path) -> None:
    """The stop does not wait for it, and no task, line or warning is left of it."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as mute:
            async with listening(path) as control:
                mute.connect(str(path))
                await until(lambda: len(control.tasks) == 1, every_s=0.001)
                began_s = loop.time()
            assert loop.time() - began_s < 0.5
            assert not control.tasks
            assert {task.get_name() for task in asyncio.all_tasks()} == {"story"}
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert mute.recv(1) == b""

    async def named() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.set_name("story")
        await story()

    with structlog.testing.capture_logs():
        asyncio.run(named())


# -- what is to be done


PANIC = Deed(do=OperatorRequest.PANIC, reason="now")


async def done(path: Path, deed: Deed, within_s: float = 2.0) -> Done:
    """What the command line has done, from a thread."""
    return await Threads().call("Do", lambda: do(path, deed, within_s=within_s), owner="test")


def test_what_is_to_be_done_reaches_the_operator_and_its_answer_comes_back(path: Path) -> None:
    """Every field of it; and what is asked is still answered beside it."""
    heard: list[Deed] = []

    async def doing(deed: Deed) -> Done:
        heard.append(deed)
        return Done(do=deed.do, is_taken=True)

    async def story() -> None:
        control = Control(path, {"status": status}, doing)
        async with living(control) as said:
            await until(lambda: said == [(True, "")], every_s=0.001)
            deed = Deed(do=OperatorRequest.CLOSE, reason="x", position=3, is_anyway=True)
            assert await done(path, deed) == Done(do=OperatorRequest.CLOSE, is_taken=True)
            assert heard == [deed]
            assert b"services" in await asked(path)
            for line in (b'{"do": "dance"}\n', b'{"do": "panic", "ask": "status"}\n'):
                assert (await sent(path, line)).startswith(b'{"error":')
            assert heard == [deed]

    asyncio.run(story())


def test_who_does_not_answer_in_time_is_told_from_who_refuses(path: Path) -> None:
    """The one is ended by whoever must close a book; the other is of another version."""

    async def never(_deed: Deed) -> Done:
        await asyncio.sleep(1_000)
        raise AssertionError("nobody waits so long")

    async def story() -> None:
        with pytest.raises(NoAnswer):
            await done(path, PANIC)
        control = Control(path, {"status": status}, never)
        async with living(control) as said:
            await until(lambda: said == [(True, "")], every_s=0.001)
            with pytest.raises(NoAnswer):
                await done(path, PANIC, within_s=0.05)
        async with listening(path):
            with pytest.raises(DataRefused, match="nothing can be done here") as refused:
                await done(path, PANIC)
            assert not isinstance(refused.value, NoAnswer)

    asyncio.run(story())
