"""Where people are sent: old addresses, the way back after signing in, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui import addresses

ELSEWHERE = [
    "",
    "job",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "https://evil.example",
    "javascript:alert(1)",
    "/\t/evil.example",
    "\t//evil.example",
    "/job\r\nSet-Cookie: a=b",
    "/login",
    "/login?next=/login",
    "/logout",
    "/reset?token=1",
    "/account/alive",
    "/_stcore/stream",
    "/media/1",
    "/api/v1/jobs",
    "/static/js/main.js",
    "/" + "x" * 2000,
]


@pytest.mark.parametrize("address", ELSEWHERE)
def test_nobody_is_sent_elsewhere_or_in_circles(address: str) -> None:
    assert addresses.local(address) == "/"


@pytest.mark.parametrize(
    "address", ["/", "/jobs", "/job?id=12", "/users?q=M%C3%BCller&page=2", "/files/receipts/1.csv"]
)
def test_our_own_pages_are_where_one_wanted_to_go(address: str) -> None:
    assert addresses.local(address) == address


@given(st.text(alphabet="/\\ab.:?#@%\t\n ", max_size=12))
def test_whatever_is_let_through_has_no_host(address: str) -> None:
    found = addresses.local(address)
    assert found.startswith("/") and not found.startswith(("//", "/\\"))
    assert not set(found) & set("\\\t\n\r ")


def test_the_sign_in_page_carries_the_way_back() -> None:
    assert addresses.sign_in("/job?id=1&a=b c") == "/login"
    assert addresses.sign_in("/job?id=1&a=b") == "/login?next=%2Fjob%3Fid%3D1%26a%3Db"
    assert addresses.sign_in("/") == "/login"


def test_a_query_is_quoted_anew() -> None:
    assert addresses.with_query("/jöb", b"id=1&x=%0d%0aY") == "/j%C3%B6b?id=1&x=%0D%0AY"
    assert addresses.with_query("/jobs", b"") == "/jobs"


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/job/12", "/job?id=12"),
        ("/jobs/12/", "/job?id=12"),
        ("/item/3", "/item?id=3"),
        ("/items/3", "/item?id=3"),
        ("/users/5/", "/users?id=5"),
        ("/jobs/", "/jobs"),
        ("/selective-transfer/", "/selective-transfer"),
        ("/django-admin", "/administration"),
        ("/django-admin/core/dicomserver/add/", "/administration"),
        ("/admin/", "/administration"),
        ("/admin-section/broadcast/", "/administration"),
        ("/selective-transfer/jobs/", "/jobs"),
        ("/selective-transfer/jobs/new/", "/selective-transfer"),
        ("/batch-query/", "/batch-query"),
        ("/batch-query/jobs/", "/jobs"),
        ("/batch-query/jobs/new/", "/batch-query"),
        ("/batch-transfer/jobs/", "/jobs"),
        ("/batch-transfer/jobs/new", "/batch-transfer"),
    ],
)
def test_old_and_crooked_addresses_have_moved(path: str, target: str) -> None:
    assert addresses.moved(path) == target


@pytest.mark.parametrize(
    "path", ["/", "/jobs", "/job", "/administration", "/admin-sections", "/job/x", "/_stcore/", "/job/1/2", "//"]
)
def test_other_addresses_have_not(path: str) -> None:
    assert addresses.moved(path) is None


@pytest.mark.parametrize(
    ("path", "is_so"),
    [
        ("/", False),
        ("/jobs", False),
        ("/jobs/x", True),
        ("/selective-transfer/jobs/12", True),
        ("//", True),
        ("/login/oidc", False),
        ("/files/receipts/1.csv", False),
        ("/account/password", False),
        ("/_stcore/stream", False),
        ("/health/", False),
    ],
)
def test_pages_have_one_name_each(path: str, is_so: bool) -> None:
    assert addresses.is_nowhere(path) is is_so


def test_no_address_moves_for_ever() -> None:
    for path in ("/job/12", "/django-admin/x", "/jobs/"):
        target = addresses.moved(path)
        assert target is not None and addresses.moved(target.partition("?")[0]) is None
