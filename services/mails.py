"""Writes mails down in the transaction of what they tell about; they are sent afterwards, one for each recipient."""

import re
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from models.db.engine import Database
from models.db.mails import MailStore
from models.domain.errors import BadRequest
from models.domain.mails import Mail

_TEMPLATES = Path(__file__).with_name("mail_templates")
_SUBJECT = "Subject: "
_ADDRESS = re.compile(r"[^\s@,;:<>()\[\]\\\"\x00-\x20\x7f]+@[^\s@,;:<>()\[\]\\\"\x00-\x20\x7f]+")
_ADDRESS_LENGTH = 254
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")

_texts = Environment(undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True)


def queue(db: Database, mail: Mail, broadcast_id: int | None = None) -> int:
    """Write a mail down, in the transaction that is open, if one is; the id of the mail.

    Raises BadRequest for an address or subject that could turn into further headers or recipients.
    """
    problems: dict[str, str] = {}
    if len(mail.recipient) > _ADDRESS_LENGTH or not _ADDRESS.fullmatch(mail.recipient):
        problems["recipient"] = "not one mail address."
    if not mail.subject.strip() or _CONTROL.search(mail.subject):
        problems["subject"] = "one line of text is needed."
    if problems:
        raise BadRequest.of(problems)
    return MailStore(db).add(mail, broadcast_id)


def render(template: str, recipient: str, **values: object) -> Mail:
    """The mail that a template in ``mail_templates`` makes of the values; ``template`` is its name without ``.txt``.

    Its first line is ``Subject: ...``, then comes an empty line. A value that the template needs and does not get is an
    error. Who sends the mail and where help is found is added to every mail when it is sent.
    """
    first, _, body = (_TEMPLATES / f"{template}.txt").read_text(encoding="utf-8").partition("\n")
    subject = _texts.from_string(first.removeprefix(_SUBJECT)).render(values)
    return Mail(recipient, subject, _texts.from_string(body).render(values).strip() + "\n")
