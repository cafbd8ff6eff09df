"""What is known of the tables' versions without Alembic is what Alembic knows."""

import subprocess
import sys
from pathlib import Path

from alembic.script import ScriptDirectory

from models.db import revisions
from tests.databases import MASTER_KEY, put_tables

OPENING = (
    "import sys\n"
    "from models.db import totals\n"
    "from models.db.engine import Database\n"
    "database = Database(*sys.argv[1:])\n"
    "database.migrate()\n"
    "database.check_is_current()\n"
    "print({'alembic', 'sqlalchemy.dialects.postgresql'} & set(sys.modules))\n"
)


def test_the_names_of_the_files_tell_the_revisions_in_alembics_order() -> None:
    walked = ScriptDirectory(str(revisions.MIGRATIONS)).walk_revisions()
    assert list(revisions.known()) == [script.revision for script in walked][::-1]


def test_the_head_is_alembics() -> None:
    assert revisions.head() == ScriptDirectory(str(revisions.MIGRATIONS)).get_current_head()


def test_a_current_database_is_opened_without_alembic_and_without_the_other_databases_modules(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'adit.db'}"
    put_tables(url)
    words = [sys.executable, "-c", OPENING, url, MASTER_KEY]
    opened = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert opened.stdout == "set()\n"
