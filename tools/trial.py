"""Runs chosen tests against a private copy of the source, so that the copy may be broken on purpose."""

import compileall
import os
import py_compile
import queue
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

from tools import CHECKOUT, PACKAGE

Task = TypeVar("Task")
Answer = TypeVar("Answer")


class Outcome(Enum):
    """How the tests took it."""

    PASSED = "passed"
    FAILED = "failed"
    BROKEN = "could not be run"
    ENDLESS = "did not end in time"


_BY_EXIT_CODE = {0: Outcome.PASSED, 1: Outcome.FAILED}


class Trial(NamedTuple):
    """The outcome and the end of what pytest printed."""

    outcome: Outcome
    said: str


class Copy:
    """A copy of the package's source that one thread patches and tests."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._package = source / "holdfast"

    @contextmanager
    def patched(self, file: str, text: str) -> Iterator[None]:
        """Give `file` (relative to the package) another text for the body."""
        path = self._package / file
        before = path.read_text("utf-8")
        path.write_text(text, "utf-8")
        try:
            yield
        finally:
            path.write_text(before, "utf-8")

    def run(self, tests: Sequence[str], *, timeout_s: float) -> Trial:
        """Run `tests` (paths or node ids) in the order given, until the first failure."""
        command = [
            *(sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "--tb=line"),
            *("-o", "addopts=", "--import-mode=importlib", "--disable-plugin-autoload"),
            *("-p", "hypothesispytest", "-p", "timeout"),
            *("-o", f"cache_dir={self._source / 'cache'}"),
            *("-o", f"pythonpath={self._source} {CHECKOUT}", *tests),
        ]
        # Programs that a test starts must see the copy too.
        path = f"{self._source}{os.pathsep}{CHECKOUT}"
        try:
            done = subprocess.run(
                command,
                cwd=CHECKOUT,
                env={**os.environ, "PYTHONPATH": path, "HYPOTHESIS_PROFILE": "unshrunk"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Trial(Outcome.ENDLESS, f"stopped after {timeout_s:.0f} s")
        return Trial(_BY_EXIT_CODE.get(done.returncode, Outcome.BROKEN), done.stdout[-2000:])


class Workshop:
    """As many copies as there are cores, and a thread for each; closed, it leaves nothing."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._free: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        workers = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(workers)
        sources = [Path(self._folder.name) / str(number) for number in range(workers)]
        _compile(sources[0])
        for source in sources[1:]:
            shutil.copytree(sources[0], source)
        for source in sources:
            self._free.put(Copy(source))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._folder.cleanup()

    def each(self, work: Callable[[Copy, Task], Answer], tasks: Iterable[Task]) -> Iterator[Answer]:
        """Do `work` for each task on a copy of its own; answers in the order of tasks."""

        def on_a_copy(task: Task) -> Answer:
            copy = self._free.get()
            try:
                return work(copy, task)
            finally:
                self._free.put(copy)

        yield from self._pool.map(on_a_copy, tasks)

    def sick(self, suites: Iterable[tuple[str, ...]], *, timeout_s: float) -> list[str]:
        """What is wrong with suites that do not pass unbroken: they could notice nothing."""
        distinct = sorted(set(suites))
        trials = self.each(lambda copy, tests: copy.run(tests, timeout_s=timeout_s), distinct)
        return [
            f"{' '.join(tests)} {trial.outcome.value} with nothing broken:\n{trial.said}"
            for tests, trial in zip(distinct, trials, strict=True)
            if trial.outcome is not Outcome.PASSED
        ]


def _compile(source: Path) -> None:
    """Copy the package to `source`, compiled.

    Compiled files are believed by the hash of their source: a patch of equal length, made within
    the same second, must not run the old code.
    """
    shutil.copytree(PACKAGE, source / "holdfast", ignore=shutil.ignore_patterns("__pycache__"))
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    compileall.compile_dir(source, quiet=2, invalidation_mode=mode)
