"""The broker's own guards over the whole account: its kill switch and its loss exit (T25)."""

from holdfast.domain.order import Refusal
from holdfast.exchange.checks import Judge, Objection


class BrokerGuards:
    """What was switched on. Both last for the day and concern the owner's own trades too."""

    def __init__(self) -> None:
        """Nothing is switched on."""
        self.is_killed = False
        self._loss_paise: int | None = None

    @property
    def is_loss_exit_set(self) -> bool:
        """Whether the loss exit waits."""
        return self._loss_paise is not None

    def kill(self) -> None:
        """Refuse every order from now on."""
        self.is_killed = True

    def revive(self) -> None:
        """Refuse nothing any more."""
        self.is_killed = False

    def forget_loss_exit(self) -> None:
        """Wait for no loss any more."""
        self._loss_paise = None

    def set_loss_exit(self, loss_paise: int) -> None:
        """Wait for the day to have lost `loss_paise`; a later call replaces an earlier one."""
        self._loss_paise = loss_paise

    def take_breach(self, result_paise: int) -> bool:
        """Whether the day's result (negative: a loss) breaks the loss exit, which breaks once."""
        if self._loss_paise is None or -result_paise < self._loss_paise:
            return False
        self._loss_paise = None
        return True

    def objection(self) -> Objection | None:
        """The no to any order once the kill switch is on."""
        if not self.is_killed:
            return None
        text = "Kill switch is active"
        return Objection(judge=Judge.BROKER, refusal=Refusal.OTHER, text=text)
