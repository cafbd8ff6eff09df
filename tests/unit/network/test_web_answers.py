"""How answers of DICOMweb servers are read: tolerant of their form, never of doubt."""

import json
import ssl

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.network.dicom_json import count, items, normal, parse_items, text, texts
from dicom.network.qido import _may_go_on, _paging, _query, _widened
from dicom.network.stow import StowSender, _outcome
from dicom.network.web import Answer, WebConnection
from models.domain.errors import (
    AditError,
    NoSpace,
    PeerBusy,
    PeerError,
    PeerLied,
    Retry,
    TimedOut,
    Unreachable,
    Unsupported,
)
from models.domain.instances import EncodedInstance, StoreOutcome, Verdict
from models.domain.nodes import Server

SERVER = Server("Archive", "A", "localhost", 104, dicomweb_root_url="http://localhost:1/dicom-web")
STORED = {"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2.3"]}}]}}
XML = """<?xml version="1.0"?><NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">
<DicomAttribute tag="00081198" vr="SQ" keyword="FailedSOPSequence">{}</DicomAttribute>
<DicomAttribute tag="00081199" vr="SQ" keyword="ReferencedSOPSequence">{}</DicomAttribute></NativeDicomModel>"""
XML_UID = '<DicomAttribute tag="00081155" vr="UI"><Value number="1">1.2.3</Value></DicomAttribute>'
XML_REASON = '<DicomAttribute tag="00081197" vr="US"><Value number="1">43264</Value></DicomAttribute>'


def connection() -> WebConnection:
    return WebConnection(SERVER, "", SERVER.timeouts.response)


def outcome(status: int, body: object, content_type: str = "application/dicom+json") -> StoreOutcome:
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    response = httpx.Response(status, content=content, headers={"Content-Type": content_type})
    return _outcome("1.2.3", Answer(connection(), response))


def with_entry(sequence: str, **elements: object) -> dict[str, object]:
    entry = {"00081155": {"Value": ["1.2.3"]}, **{f"0008{tag[1:]}": {"Value": [v]} for tag, v in elements.items()}}
    return {sequence: {"vr": "SQ", "Value": [entry]}}


@pytest.mark.parametrize("number", [3, 3.0, "3", " 3 ", "3.0"])
def test_a_count_may_be_written_as_text(number: object) -> None:
    assert count({"00201208": {"vr": "IS", "Value": [number]}}, "00201208") == 3


@pytest.mark.parametrize("element", [None, {}, {"Value": []}, {"Value": [None]}, {"Value": ["many"]}, {"Value": [-1]}])
def test_a_count_that_makes_no_sense_is_no_count(element: object) -> None:
    assert count({"00201208": element}, "00201208") is None


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ({"vr": "PN", "Value": [{"Alphabetic": "A^B"}]}, "A^B"),
        ({"vr": "PN", "Value": [{"Alphabetic": "A^B", "Ideographic": "山"}]}, "A^B=山"),
        ({"vr": "PN", "Value": [{"Ideographic": "山"}]}, "=山"),
        ({"vr": "PN", "Value": ["A^B "]}, "A^B"),
        ({"vr": "PN", "Value": [{}]}, ""),
        ({"vr": "PN"}, ""),
        ({"vr": "PN", "Value": "A^B"}, "A^B"),
    ],
)
def test_a_name_may_be_an_object_or_text_or_missing(element: object, expected: str) -> None:
    assert text({"00100010": element}, "00100010") == expected


def test_tags_may_be_written_in_lower_case() -> None:
    (item,) = parse_items(b'[{"0020000d": {"Value": ["1.2"]}, "0008119a": {"Value": [{"0020000e": "x"}]}}]')
    assert text(item, "0020000D") == "1.2"
    assert texts(items(item, "0008119A")[0], "0020000E") == ["x"]


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b'"x"', b"[" * 100_000, b"\xff\xff"])
def test_what_is_no_list_of_data_sets_is_a_lie(body: bytes) -> None:
    with pytest.raises(PeerLied):
        parse_items(body)


def test_wildcards_stay_literal_in_a_query() -> None:
    assert _query((("PatientName", "M*?^ü &"),)) == "PatientName=M*?%5E%C3%BC%20%26"


def test_what_needs_encoding_is_widened_but_never_to_everything() -> None:
    assert _widened((("PatientName", "Mül^J"), ("StudyDate", "2024-"))) == (
        ("PatientName", "M*l?J"),
        ("StudyDate", "2024-"),
    )
    assert _widened((("PatientName", "ü^"),)) == (("PatientName", "ü^"),)


def test_a_search_for_modalities_is_not_cut_into_pages() -> None:
    assert _paging((("PatientID", "P1"),), 0) == (("limit", "1000"), ("offset", "0"))
    assert _paging((("ModalitiesInStudy", "CT"),), 0) == ()
    assert _paging((("ModalitiesInStudy", "CT"),), 100) == (("offset", "100"),)


@pytest.mark.parametrize(
    ("length", "warning", "expected"),
    [(0, "", False), (7, "", False), (1000, "", True), (100, "", True), (7, "299 x: more", True), (1007, "", False)],
)
def test_a_list_that_may_be_cut_is_asked_for_more(length: int, warning: str, expected: bool) -> None:
    assert _may_go_on(length, warning) is expected


@pytest.mark.parametrize(
    ("status", "body", "verdict", "reason"),
    [
        (200, STORED, Verdict.STORED, 0),
        (200, [STORED], Verdict.STORED, 0),
        (200, "", Verdict.STORED, 0),
        (202, with_entry("00081199", t1196=0xB000), Verdict.STORED_WITH_WARNING, 0xB000),
        (202, with_entry("00081198", t1197=0xA900), Verdict.REFUSED, 0xA900),
        (202, with_entry("00081198", t1197="272"), Verdict.REFUSED, 0x0110),
        (200, with_entry("00081198"), Verdict.REFUSED, 0x0110),
        (409, with_entry("00081198", t1197=0x0122), Verdict.REFUSED, 0x0122),
        (409, "", Verdict.REFUSED, 0x0110),
        (400, "", Verdict.REFUSED, 0xC000),
        (400, {"Message": "Bad file format"}, Verdict.REFUSED, 0xC000),
        (400, with_entry("00081198", t1197=0xA900), Verdict.REFUSED, 0xA900),
        (409, with_entry("00081198", t1197=0x0111), Verdict.STORED_WITH_WARNING, 0x0111),
    ],
)
def test_a_stow_answer_becomes_a_verdict(status: int, body: object, verdict: Verdict, reason: int) -> None:
    assert outcome(status, body) == StoreOutcome("1.2.3", verdict, reason)


@pytest.mark.parametrize("reason", [0xA700, 0xA701, 0x0213])
@pytest.mark.parametrize("status", [202, 409])
def test_a_full_archive_is_busy_and_has_refused_nothing(status: int, reason: int) -> None:
    with pytest.raises(PeerBusy, match=f"{reason:04X}") as caught:
        outcome(status, with_entry("00081198", t1197=reason))
    assert caught.value.retry is Retry.LATER


@pytest.mark.parametrize(
    ("body", "content_type"),
    [("<html>", "application/dicom+json"), ("\n<!DOCTYPE html><p>", ""), ("Bad request", "text/html; charset=utf-8")],
)
def test_the_page_of_a_proxy_is_no_verdict_on_an_instance(body: str, content_type: str) -> None:
    with pytest.raises(Unsupported, match="HTTP status 400"):
        outcome(400, body, content_type)


@pytest.mark.parametrize("body", ["", "too large", "<html>"])
def test_a_limited_size_of_requests_is_told_and_is_no_verdict_on_an_instance(body: str) -> None:
    sent = EncodedInstance("1.2", "1.2.3", "1.2.840.10008.1.2.1", (b"",))
    with pytest.raises(Unsupported, match="limits the size of requests"):
        answered(413, body).send(sent)


def answered(status: int, body: str) -> StowSender:
    """A sender whose server answers this to everything."""
    sender = StowSender(SERVER)
    sender._connection._client = httpx.Client(
        transport=httpx.MockTransport(lambda _: httpx.Response(status, text=body))
    )
    return sender


def test_a_stow_answer_may_be_xml() -> None:
    item = f'<Item number="1">{XML_UID}</Item>'
    failed = f'<Item number="1">{XML_UID}{XML_REASON}</Item>'
    assert outcome(200, XML.format("", item), "application/dicom+xml").verdict is Verdict.STORED
    assert outcome(202, XML.format(failed, ""), "application/dicom+xml").status == 0xA900


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (202, ""),
        (200, {"00081190": {"Value": ["x"]}}),
        (200, "<html/>"),
        (200, "<html>"),
        (200, "{"),
        (202, with_entry("1")),
    ],
)
def test_a_stow_answer_that_does_not_mention_the_instance_is_a_lie(status: int, body: object) -> None:
    with pytest.raises(PeerLied):
        outcome(status, body)


@pytest.mark.parametrize(
    ("status", "kind", "retry"),
    [
        (301, Unsupported, Retry.NEVER),
        (400, Unsupported, Retry.NEVER),
        (401, Unsupported, Retry.NEVER),
        (403, Unsupported, Retry.NEVER),
        (404, Unsupported, Retry.NEVER),
        (406, Unsupported, Retry.NEVER),
        (408, TimedOut, Retry.SOON),
        (409, PeerError, Retry.SOON),
        (429, PeerBusy, Retry.LATER),
        (500, PeerError, Retry.SOON),
        (502, PeerError, Retry.SOON),
        (503, PeerBusy, Retry.LATER),
        (504, TimedOut, Retry.SOON),
        (507, NoSpace, Retry.LATER),
    ],
)
def test_every_status_has_its_error(status: int, kind: type[AditError], retry: Retry) -> None:
    error = connection().refusal(status)
    assert type(error) is kind
    assert error.retry is retry
    assert str(status) in error.message


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def tls_alert() -> ssl.SSLError:
    """What a client gets to read that has shown no certificate, with TLS 1.3."""
    error = ssl.SSLError(1, "tlsv13 alert certificate required")
    error.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    return error


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (httpx.ConnectError("x"), Unreachable),
        (httpx.ConnectTimeout("x"), Unreachable),
        (httpx.ReadTimeout("x"), TimedOut),
        (httpx.WriteTimeout("x"), TimedOut),
        (httpx.ReadError("x"), PeerError),
        (httpx.RemoteProtocolError("x"), PeerError),
        (httpx.UnsupportedProtocol("x"), Unsupported),
        (httpx.InvalidURL("x"), Unsupported),
        (httpx.DecodingError("x"), PeerLied),
        (caused(httpx.ConnectError("x"), ssl.SSLCertVerificationError()), Unsupported),
        (caused(httpx.ConnectError("x"), ssl.SSLError(1, "wrong version number")), Unsupported),
        (caused(httpx.ReadError("x"), tls_alert()), Unsupported),
        (caused(httpx.WriteError("x"), tls_alert()), Unsupported),
        (caused(httpx.ReadError("x"), ssl.SSLEOFError()), PeerError),
        (caused(httpx.ConnectError("x"), ssl.SSLEOFError()), Unreachable),
        (caused(httpx.ConnectError("x"), ssl.SSLZeroReturnError()), Unreachable),
        (caused(httpx.ReadError("x"), ssl.SSLError(1, "bad record mac")), PeerError),
    ],
)
def test_every_error_of_httpx_has_its_own_of_ours(exc: Exception, kind: type[AditError]) -> None:
    assert type(connection().translated(exc)) is kind


@pytest.mark.parametrize("header", ["Basic x\r\nX: y", "Basic ü"])
def test_an_impossible_authorization_header_is_refused_without_repeating_it(header: str) -> None:
    server = Server("A", "A", "h", 1, dicomweb_root_url="http://h", dicomweb_authorization_header=header)
    with pytest.raises(Unsupported) as caught:
        WebConnection(server, "", server.timeouts.response).request("GET", "studies")
    assert header not in caught.value.message
    assert caught.value.__cause__ is None


def test_what_a_peer_tells_is_brought_into_the_form_of_the_standard() -> None:
    below = {"00401001": {"Value": "RP1"}}
    found = normal(
        {
            "00100010": {"vr": "PN", "Value": ["Smith^Ann=="]},
            "00201206": {"vr": "LO", "Value": ["3"]},
            "00200011": {"vr": "IS", "Value": [""]},
            "00280030": {"vr": "DS", "Value": ["0.5", None, "wide"]},
            "00080061": {"vr": "CS", "Value": ["CT"]},
            "00400275": {"vr": "SQ", "Value": [below]},
            "00091010": {"vr": "LO", "Value": ["private"]},
            "00080005": {"vr": "CS", "Value": ["ISO_IR 100"]},
            "00081190": {"vr": "UR", "Value": ["http://peer/secret"]},
            "00420011": {"vr": "OB", "BulkDataURI": "http://peer/bulk"},
            "00080000": {"vr": "UL", "Value": [7]},
            "nonsense": {"vr": "LO", "Value": ["x"]},
        }
    )
    assert found == {
        "00080061": {"vr": "CS", "Value": ["CT"]},
        "00091010": {"vr": "LO", "Value": ["private"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Smith^Ann"}]},
        "00200011": {"vr": "IS"},
        "00201206": {"vr": "IS", "Value": [3]},
        "00280030": {"vr": "DS", "Value": [0.5, None, "wide"]},
        "00400275": {"vr": "SQ", "Value": [{"00401001": {"vr": "SH", "Value": ["RP1"]}}]},
    }


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda below: st.one_of(
        st.lists(below, max_size=3),
        st.dictionaries(
            st.sampled_from(["vr", "Value", "InlineBinary", "00100010", "00400275", "x"]), below, max_size=3
        ),
    ),
)
TAGS = st.sampled_from(["00100010", "00400275", "00280010", "00200013", "00280030", "00091010", "00080061", "x"])


@given(st.dictionaries(TAGS, VALUES, max_size=4))
def test_whatever_a_peer_answers_can_be_passed_on(item: dict[str, object]) -> None:
    found = normal(item)
    json.dumps(found, allow_nan=False)
    assert all(isinstance(one, dict) and "vr" in one for one in found.values())
