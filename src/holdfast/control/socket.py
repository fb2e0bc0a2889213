"""The control socket: a Unix socket of the owner's (0600) on which a running program answers.

One request is one line of JSON, and so is its answer. `{"ask": "status"}` is answered from memory;
`{"do": "panic", "reason": "..."}` is told to the engine and answered with what happened. Neither can
hold up trading, and a client that does not read is cut off.
"""

import asyncio
import hashlib
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from typing_extensions import override

from holdfast.control.operator import Deed, Done
from holdfast.domain.errors import DataRefused
from holdfast.runtime.fault import Fault
from holdfast.runtime.health import HEALTHY, Health, unhealthy
from holdfast.runtime.service import Group, Ready, Service

_log = structlog.get_logger("control")

LINE_BYTES_MAX: Final = 4_096
ANSWER_S: Final = 1.0
DO_S: Final = 2.0
"""Within this a program that lives says what became of a request; one that does not, hangs."""

PATH_BYTES_MAX: Final = 100
"""A little less than what the address of a Unix socket may take on Linux and macOS."""

Answer = Callable[[], Any]
"""Answers one kind of request from memory, as something that JSON can say."""

Doing = Callable[[Deed], Awaitable[Done]]
"""Takes a person's request to the engine, and says what came of it."""


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked: the name of an answer."""

    ask: str


class Refused(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answer to a request that was not understood."""

    error: str


def socket_path(folder: Path, client_id: str) -> Path:
    """Where the socket of an account lies: in `folder`, or, where that is too long, elsewhere.

    Elsewhere is a folder of the same user in the system's place for short-lived files.
    """
    path = folder / f"{client_id}.sock"
    if len(os.fsencode(path)) <= PATH_BYTES_MAX:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"holdfast-{os.getuid()}" / f"{name}.sock"


class Control(Service):
    """Answers requests. A side service: without it everything else goes on."""

    name = "control"
    group = Group.SIDE
    critical = False

    def __init__(
        self, path: Path, answers: Mapping[str, Answer], doing: Doing | None = None
    ) -> None:
        """`answers` by the name under which they are asked for; `doing` does what is asked."""
        self._path = path
        self._answers = answers
        self._doing = doing
        self._server: asyncio.Server | None = None

    @override
    async def run(self, ready: Ready) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._path.parent.stat().st_uid != os.getuid():
            raise PermissionError(f"{self._path.parent} belongs to somebody else")
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(
            self._take, sock=_bound(self._path), limit=LINE_BYTES_MAX, start_serving=False
        )
        try:
            await self._server.start_serving()
            ready()
            await self.stay()
        finally:
            self._close()

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer in a task of this service, which ends with it."""
        if self._server is None:  # accepted a moment before the end
            writer.transport.abort()
        else:
            self.task(self._serve(reader, writer), name="ControlAnswer")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                line = await reader.readline()
            answer = await self._answered(line)
            async with asyncio.timeout(ANSWER_S):
                writer.write(msgspec.json.encode(answer, enc_hook=str) + b"\n")
                writer.close()
                await writer.wait_closed()  # which it is when everything has left
        except (OSError, ValueError) as error:
            _log.info("a request was not answered", component=self.name, **Fault.of(error).fields)
        finally:
            writer.transport.abort()

    async def _answered(self, line: bytes) -> Any:
        """Who asks something is answered from memory; who wants something done waits for it."""
        try:
            deed = msgspec.json.decode(line, type=Deed) if _is_deed(line) else None
        except msgspec.MsgspecError as error:
            return Refused(error=str(error))
        if deed is None:
            return self._answer(line)
        if self._doing is None:
            return Refused(error="nothing can be done here")
        return await self._doing(deed)

    def _answer(self, line: bytes) -> Any:
        try:
            asked = msgspec.json.decode(line, type=Request).ask
        except msgspec.MsgspecError as error:
            return Refused(error=str(error))
        answer = self._answers.get(asked)
        if answer is None:
            return Refused(error=f"{asked} is none of: {', '.join(self._answers)}")
        return answer()

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            self._path.unlink(missing_ok=True)

    @override
    def health(self) -> Health:
        return HEALTHY if self._server is not None else unhealthy("nobody listens")


def _bound(path: Path) -> socket.socket:
    """A socket at `path` that is the owner's before anybody can connect to it.

    Nobody can before it listens. Narrowing the process's file mode mask instead would narrow what
    other threads make meanwhile.
    """
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        line.bind(str(path))
        path.chmod(0o600)
    except OSError:
        line.close()
        raise
    return line


def _is_deed(line: bytes) -> bool:
    try:
        asked = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError:
        return False
    return "do" in asked


class NoAnswer(DataRefused):
    """Nobody listens, or nobody answered in time."""


def ask(path: Path, what: str) -> bytes:
    """The answer of the program that listens at `path`, as JSON.

    Raises `NoAnswer` when it does not answer within a second, DataRefused when it did not
    understand.
    """
    return _spoken(path, msgspec.json.encode(Request(ask=what)), within_s=ANSWER_S)


def do(path: Path, deed: Deed, *, within_s: float = DO_S) -> Done:
    """What came of a person's request to the program that listens at `path`.

    Raises `NoAnswer` when it does not answer in time: what was asked may be done all the same.
    DataRefused when it did not understand.
    """
    answer = _spoken(path, msgspec.json.encode(deed), within_s=within_s)
    return msgspec.json.decode(answer, type=Done)


def _spoken(path: Path, asked: bytes, *, within_s: float) -> bytes:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(within_s)
            line.connect(str(path))
            line.sendall(asked + b"\n")
            with line.makefile("rb") as answers:
                answer = answers.readline()
    except OSError as error:
        raise NoAnswer(
            str(path),
            f"the running program does not answer: {error}",
            "its log says what it does; stop it with Ctrl+C or TERM, a second time to force it",
        ) from error
    if not answer.endswith(b"\n"):
        raise NoAnswer(str(path), "the running program gave no answer", "ask again")
    refused = _refused(answer)
    if refused is not None:
        remedy = "it may be of another version than this one: stop it and start it again"
        what = f"the running program did not understand: {refused.error}"
        raise DataRefused(str(path), what, remedy)
    return answer


def _refused(answer: bytes) -> Refused | None:
    try:
        return msgspec.json.decode(answer, type=Refused)
    except msgspec.MsgspecError:
        return None
