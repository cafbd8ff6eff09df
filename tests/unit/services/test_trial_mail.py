"""A test mail is for whoever is at the shell; others are refused, and the try is written down."""

from pathlib import Path

import pytest

from models.domain.audit import EVERYTHING, AuditAction
from models.domain.errors import NotPermitted
from models.domain.people import Actor, operator
from services import audit
from services.post import trial_mail
from tests.databases import Clock, sqlite_database
from tests.peers import free_port
from tests.samples import some_settings


@pytest.mark.parametrize("actor", [Actor("ada"), Actor("eve", is_staff=True)], ids=lambda actor: actor.name)
def test_others_than_superusers_send_nothing(tmp_path: Path, actor: Actor) -> None:
    database = sqlite_database(tmp_path, Clock())
    settings = some_settings(tmp_path, smtp_url=f"smtp://127.0.0.1:{free_port()}")
    with pytest.raises(NotPermitted, match="superusers"):
        trial_mail.send(database, settings, actor, "ada@clinic.example")
    (line,) = audit.entries(database, operator("root"), EVERYTHING)
    assert (line.actor, line.action, line.outcome) == (actor.name, AuditAction.SEND_TEST_MAIL, "NotPermitted")
    assert line.has_details and "ada@clinic" not in repr(line)
    database.close()
