"""The same tests run on SQLite and on PostgreSQL."""

from tests.databases import clock, database, empty_url

__all__ = ["clock", "database", "empty_url"]
