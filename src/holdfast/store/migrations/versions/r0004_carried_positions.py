"""Positions that an earlier day has left open say so."""

from alembic import op

from holdfast.store.projections import recreate_tables

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the projections anew; `migrate` fills them from the journal."""
    recreate_tables(op.get_bind())
