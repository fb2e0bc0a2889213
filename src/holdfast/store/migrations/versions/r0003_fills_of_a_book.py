"""Fills are told by the whole book too: several orders in one record."""

from alembic import op

from holdfast.store.projections import recreate_tables

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the projections anew; `migrate` fills them from the journal."""
    recreate_tables(op.get_bind())
