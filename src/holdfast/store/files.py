"""What the store's files are called. Known without a library, so that asking for help costs none."""

from typing import Final

DATABASE: Final = "journal.db"
"""The journal and its projections, in the folder of a run."""
