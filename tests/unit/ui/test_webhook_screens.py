"""Webhooks on the pages: made with a secret that is shown once, changed, tried; alarms; the choice of mails."""

from datetime import timedelta

from streamlit.testing.v1 import AppTest

from models.db.alarms import AlarmStore
from models.db.webhooks import NoticeStore, WebhookStore
from models.domain.mails import JobMails
from models.domain.webhooks import Event, NoticeState, Webhook, WebhookWish
from services.people import actors
from services.post import notifications
from services.webhooks import administration, signing
from tests.app_pages import Site, click, labels, told
from tests.people import a_user
from ui import navigation
from ui.parts import new_secret, tables

WISH = WebhookWish("https://board.example.org/adit", "The board")


def a_webhook(site: Site) -> Webhook:
    return administration.add(site.db, site.settings, site.shell, WISH).webhook


def added(site: Site, url: str = WISH.url) -> AppTest:
    """The page after a webhook was entered."""
    app = site.open("webhooks", id="new")
    app.text_input(key="webhook-url").set_value(url)
    app.text_input(key="webhook-description").set_value("The board")
    app.multiselect(key="webhook-events").set_value([Event.FINISHED])
    return click(app, "webhook-save")


def test_a_webhook_is_added_and_its_secret_shown_once(site: Site) -> None:
    site.sign_in_staff()
    app = added(site)
    (webhook,) = WebhookStore(site.db).list()
    assert (webhook.url, webhook.description, webhook.events) == (WISH.url, "The board", {Event.FINISHED})
    (key,) = WebhookStore(site.db).secrets(webhook.id)
    assert [code.value for code in app.code] == [signing.shown(key)]
    assert "only be visible once" in told(app)
    app = click(app, "secret-done")
    assert not app.code and new_secret._FRESH not in app.session_state


def test_the_secret_is_forgotten_when_its_reader_goes_elsewhere(site: Site) -> None:
    site.sign_in_staff()
    app = added(site)
    assert new_secret._FRESH in app.session_state
    app.switch_page("screens/profile.py").run()
    assert new_secret._FRESH not in app.session_state
    assert new_secret.PAGE in {screen.path for screen in navigation.ALL}


def test_an_address_that_cannot_be_is_said_at_its_field_and_the_rest_stays(site: Site) -> None:
    site.sign_in_staff()
    app = added(site, "http://board.example.org/")
    assert "take https://" in told(app)
    assert app.text_input(key="webhook-description").value == "The board"
    assert WebhookStore(site.db).list() == ()


def test_a_webhook_is_changed_and_deleted(site: Site) -> None:
    site.sign_in_staff()
    webhook = a_webhook(site)
    app = site.open("webhooks", id=str(webhook.id))
    app.checkbox(key="webhook-is_active").uncheck()
    app = click(app, "webhook-save")
    assert not WebhookStore(site.db).get(webhook.id).is_active
    app = site.open("webhooks", id=str(webhook.id))
    app.text_input(key="webhook-remove-word").set_value("delete").run()
    click(app, "webhook-remove")
    assert WebhookStore(site.db).list() == ()


def test_a_new_secret_is_shown_and_the_old_one_is_good_for_a_day(site: Site) -> None:
    site.sign_in_staff()
    webhook = a_webhook(site)
    app = click(site.open("webhooks", id=str(webhook.id)), "webhook-secret")
    new, _ = WebhookStore(site.db).secrets(webhook.id)
    assert [code.value for code in app.code] == [signing.shown(new)]
    assert "still good until" in told(site.open("webhooks", id=str(webhook.id)))


def test_a_test_stands_among_the_notices_and_is_sent_again(site: Site) -> None:
    site.sign_in_staff()
    webhook = a_webhook(site)
    app = click(site.open("webhooks", id=str(webhook.id)), "webhook-test")
    (notice,) = NoticeStore(site.db).list(webhook.id, 9, 0)
    assert (notice.event, notice.state) == (Event.TEST, NoticeState.WAITING)
    assert "The test is on its way" in told(app)
    claim = NoticeStore(site.db).claim(webhook.id, timedelta(minutes=1))
    assert claim is not None
    NoticeStore(site.db).not_sent(claim, 500, "It answered 500.", timedelta(days=2))
    app = site.open("webhooks", id=str(webhook.id))
    assert "It answered 500." in str(app.dataframe[-1].value)
    assert "has not taken what it is told since" in told(app)
    assert NoticeStore(site.db).get(notice.id).state is NoticeState.FAILED
    app.session_state[f"notices-{tables.mark([(notice.id, 1, NoticeState.FAILED)])}-button"] = _Click()
    app.run()
    assert NoticeStore(site.db).get(notice.id).state is NoticeState.WAITING


class _Click:
    """What Streamlit tells of a button in a table."""

    row = 0


def test_alarms_stand_above_everything_on_the_page_of_administrators(site: Site) -> None:
    site.sign_in_staff()
    AlarmStore(site.db).see("standstill", "No job goes on", "2 jobs are due, and no worker has an item.")
    webhook = a_webhook(site)
    NoticeStore(site.db).add_test(webhook.id)
    claim = NoticeStore(site.db).claim(webhook.id, timedelta(minutes=1))
    assert claim is not None
    NoticeStore(site.db).not_sent(claim, 500, "It answered 500.", timedelta(minutes=1))
    app = site.open("administration")
    assert "No job goes on" in app.error[0].value and "2 jobs are due" in told(app)
    assert "A webhook fails" in told(app) and "1 webhook does not take it" in told(app)


def test_people_choose_on_their_profile_about_which_jobs_they_get_mails(site: Site) -> None:
    site.sign_in(a_user(site.db, "ada"))
    app = site.open("profile")
    assert "Send a mail when a job has ended" in labels(app)
    app.radio(key="job-mails").set_value(JobMails.TROUBLE).run()
    assert "Your choice is saved." in told(app)
    assert notifications.chosen(site.db, actors.of_name(site.db, "ada")) is JobMails.TROUBLE
    assert site.open("profile").radio(key="job-mails").value is JobMails.TROUBLE
