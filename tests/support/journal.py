"""A journal that is opened and closed as a whole, with threads of its own or none."""

import threading
from collections.abc import Callable
from pathlib import Path

from holdfast.ports import Clock
from holdfast.store.buffers import StoreSettings
from holdfast.store.segment import TapeHeader
from holdfast.store.served import CloseReport, OnChanged, ServedJournal
from holdfast.store.stops import Stops


class _Flag:
    """Tells one of the two threads to end."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        return self._event.wait(seconds)


class _Writer:
    """A thread of one half."""

    def __init__(
        self, name: str, target: Callable[[Stops], None], wake: Callable[[], None]
    ) -> None:
        self._flag = _Flag()
        self._wake = wake
        self._thread = threading.Thread(target=target, args=(self._flag,), name=name)
        self._thread.start()

    def end(self, within_s: float) -> str:
        """Tell it to end and wait; returns why it has not, empty when it has."""
        self._flag.set()
        self._wake()
        self._thread.join(within_s)
        still = self._thread.is_alive()
        return f"the thread {self._thread.name} did not end in time" if still else ""


class StoreJournal(ServedJournal):
    """A `Journal` over the database and the tape in one folder. Close it, whatever happens."""

    def __init__(
        self,
        folder: Path,
        header: TapeHeader,
        *,
        settings: StoreSettings | None = None,
        on_changed: OnChanged | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Open `folder`, making it if need be. `header` names the day and the market's source.

        File and chain are checked, and what a crash left of the tape is sealed, before anything is
        written. Raises `DataRefused` when folder, database or tape cannot be used as they are.
        """
        super().__init__(folder, header, settings=settings, on_changed=on_changed, clock=clock)
        self._writers: tuple[_Writer, ...] = ()
        self._late = ""
        self.open_database()
        is_open = False
        try:
            self.open_tape()
            is_open = True
        finally:
            if not is_open:
                self.close_database()
        if self._settings.threaded:
            self._writers = (
                _Writer("TapeWriter", self.write_tape, self.wake_tape),
                _Writer("JournalWriter", self.write_records, self.wake_records),
            )

    def close(self) -> CloseReport:
        """Write what is left, seal the tape, fold the log into the file; says how it went.

        A second call returns the first one's answer.
        """
        for writer in self._writers:
            self._late = self._late or writer.end(self._settings.join_s_max)
        if self._late:
            return self._ended(self._late)
        self.close_tape()
        self.seal_tape()
        return self.close_database()
