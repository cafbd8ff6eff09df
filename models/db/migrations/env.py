"""Runs migrations: on the connection that ``models.db.schema`` hands over, or for Alembic's command line."""

from alembic import context
from sqlalchemy import Connection, create_engine

from models.db.tables import Row
from models.settings import settings


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Row.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        transactional_ddl=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    with create_engine(settings().url, hide_parameters=True).begin() as connection:
        _run(connection)
