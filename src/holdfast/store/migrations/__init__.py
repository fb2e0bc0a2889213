"""The history of the schema, run by `store/migrate.py` when a database is opened for writing."""
