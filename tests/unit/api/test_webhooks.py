"""Webhooks by REST, from the first secret to the last notice."""

import re

import pytest

from tests.api_site import Site

WISH = {"url": "https://board.example.org/t0ken", "description": "The board", "events": ["job.accepted"]}


def test_a_webhook_is_made_changed_tested_and_deleted(site: Site) -> None:
    token = site.token("staff")
    made = site.ask("POST", "/v1/admin/webhooks", token, json=WISH)
    assert made.status_code == 201
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", made.json()["secret"])
    shown = made.json()["webhook"]
    assert shown | WISH == shown and (shown["is_active"], shown["created_by"]) == (True, "staff")
    where = f"/v1/admin/webhooks/{shown['id']}"
    changed = {**WISH, "events": ["job.finished", "job.accepted"], "is_active": False, "version": shown["version"]}
    answer = site.ask("PUT", where, token, json=changed)
    assert answer.json()["events"] == ["job.accepted", "job.finished"] and not answer.json()["is_active"]
    assert site.ask("PUT", where, token, json=changed).status_code == 409
    another = site.ask("POST", f"{where}/secret", token)
    assert another.status_code == 201 and another.json()["secret"] != made.json()["secret"]
    assert another.json()["webhook"]["old_secret_until_at"]
    for page in ("", "/notices"):
        assert made.json()["secret"] not in site.ask("GET", f"{where}{page}", token).text
    notice = site.ask("POST", f"{where}/test", token)
    assert (notice.status_code, notice.json()["event"], notice.json()["state"]) == (202, "webhook.test", "waiting")
    listed = site.ask("GET", f"{where}/notices", token).json()
    assert (listed["total"], listed["results"]) == (1, [notice.json()])
    again = site.ask("POST", f"{where}/notices/{notice.json()['id']}/send-again", token)
    assert again.status_code == 202
    assert site.ask("DELETE", where, token).status_code == 204
    assert site.ask("GET", where, token).status_code == 404


def test_a_job_that_is_accepted_by_rest_is_told_of(site: Site) -> None:
    token = site.token("staff")
    where = f"/v1/admin/webhooks/{site.ask('POST', '/v1/admin/webhooks', token, json=WISH).json()['webhook']['id']}"
    wish = {"source": "PACS", "destination": "Research", "studies": [{"study_uid": "1.2.9"}]}
    job_id = site.ask("POST", "/v1/jobs", site.token("ada"), json=wish).json()["id"]
    (notice,) = site.ask("GET", f"{where}/notices", token).json()["results"]
    assert (notice["event"], notice["job_id"]) == ("job.accepted", job_id)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "http://board.example.org/"),
        ("url", "https://169.254.169.254/"),
        ("events", []),
        ("events", ["webhook.test"]),
        ("description", "x" * 201),
    ],
)
def test_what_is_wrong_is_said_at_its_field(site: Site, field: str, value: object) -> None:
    answer = site.ask("POST", "/v1/admin/webhooks", site.token("staff"), json={**WISH, field: value})
    assert answer.status_code == 422
    assert list(answer.json()["errors"]) == [field]


def test_people_choose_about_which_jobs_they_get_mails(site: Site) -> None:
    token = site.token("ada")
    assert site.ask("GET", "/v1/me/mails", token).json() == {"jobs": "as_asked"}
    assert site.ask("PUT", "/v1/me/mails", token, json={"jobs": "never"}).json() == {"jobs": "never"}
    assert site.ask("GET", "/v1/me/mails", token).json() == {"jobs": "never"}
    assert site.ask("GET", "/v1/me/mails", site.token("eve")).json() == {"jobs": "as_asked"}
