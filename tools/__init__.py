"""Programs for developers: nothing here is installed or imported by the package."""

from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = CHECKOUT / "src" / "holdfast"
