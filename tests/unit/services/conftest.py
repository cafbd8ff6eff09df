"""The same tests run on SQLite and on PostgreSQL, but those to which the kind does not matter."""

from tests.databases import clock, database, db, empty_url

__all__ = ["clock", "database", "db", "empty_url"]
