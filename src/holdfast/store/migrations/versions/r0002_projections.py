"""The projections. A revision that changes one repeats this: they are made anew, never altered."""

from alembic import op

from holdfast.store.projections import recreate_tables

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Drop what projections there are and create today's; `migrate` fills them from the journal."""
    recreate_tables(op.get_bind())
