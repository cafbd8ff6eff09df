"""Stores instances by STOW-RS (PS3.18 section 10.5), one per request, so that each gets an answer of its own."""

import uuid
from collections.abc import Iterator
from typing import cast
from xml.etree import ElementTree

from dicom.mapping import SLICE_BYTES, in_slices
from dicom.network.dicom_json import Item, count, items, parse_items, text
from dicom.network.status import DUPLICATE, PROCESSING_FAILURE, failure, is_out_of_resources
from dicom.network.web import Answer, WebPort
from dicom.part10 import part10_prefix
from models.domain.errors import PeerLied
from models.domain.instances import EncodedInstance, StoreOutcome, Verdict
from models.domain.nodes import Server

REFERENCED_SOP_UID, REFERENCED_SOP_SEQUENCE = "00081155", "00081199"
FAILED_SOP_SEQUENCE, FAILURE_REASON, WARNING_REASON = "00081198", "00081197", "00081196"

_BAD_REQUEST = 400
_REFUSALS = {_BAD_REQUEST: 0xC000, 409: PROCESSING_FAILURE, 415: 0x0122, 422: 0xA900}
"""HTTP statuses that speak of the instance and not of the service -> failure reason when the body gives none."""

_NOTHING: Item = {}
_ANSWER_LIMIT_BYTES = 4 << 20


class StowSender(WebPort):
    """A Sender over STOW-RS. The data set is sent as it is, behind file meta information of our own."""

    def __init__(self, server: Server) -> None:
        super().__init__(server, server.dicomweb_stow_prefix, server.timeouts.response)

    def send(self, instance: EncodedInstance) -> StoreOutcome:
        """Send one instance in one request and return what the server says about it.

        ``status`` is its failure or warning reason (PS3.18 section 10.5.3.2 and PS3.3 section C.12.1.17).
        Raises PeerLied when the server answers without mentioning the instance, PeerBusy when it is out of resources,
        which is no verdict on the instance.
        """
        boundary = uuid.uuid4().hex
        head = _part_head(instance, boundary)
        tail = f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "Accept": "application/dicom+json",
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Content-Length": str(len(head) + instance.size_bytes + len(tail)),
        }
        content = _slices(head, instance, tail)
        with self._connection.request("POST", "studies", headers=headers, content=content) as answer:
            if answer.status not in _REFUSALS:
                answer.check()
            return _outcome(instance.sop_uid, answer)


def _part_head(instance: EncodedInstance, boundary: str) -> bytes:
    prefix = part10_prefix(instance.sop_class_uid, instance.sop_uid, instance.transfer_syntax_uid)
    return f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + prefix


def _slices(head: bytes, instance: EncodedInstance, tail: bytes) -> Iterator[bytes]:
    """Yield the body; a small instance in one piece, a large one in slices, so that it is never in memory whole."""
    if instance.size_bytes <= SLICE_BYTES:
        yield b"".join((head, *instance.parts, tail))
        return
    yield head
    for piece in in_slices(instance.parts):
        yield cast(bytes, piece)
    yield tail


def _outcome(sop_uid: str, answer: Answer) -> StoreOutcome:
    """The verdict on the instance: what the body says of it, else what the status says of a request of one."""
    body = answer.read(_ANSWER_LIMIT_BYTES)
    refused_status = _REFUSALS.get(answer.status)
    try:
        report = _report(body, answer.content_type)
    except PeerLied:
        if refused_status is None:
            raise
        report = _NOTHING
    failed = _entry(report, FAILED_SOP_SEQUENCE, sop_uid)
    if failed is None and answer.status == _BAD_REQUEST and _is_page(answer, body):
        raise answer.refusal()
    if failed is not None or refused_status is not None:
        reason = count(failed or _NOTHING, FAILURE_REASON) or refused_status or PROCESSING_FAILURE
        if is_out_of_resources(reason):
            raise failure(answer.server_name, "STOW-RS", reason)
        verdict = Verdict.STORED_WITH_WARNING if reason == DUPLICATE else Verdict.REFUSED
        return StoreOutcome(sop_uid, verdict, reason)
    stored = _entry(report, REFERENCED_SOP_SEQUENCE, sop_uid)
    if stored is None and (report or answer.status == 202):
        raise PeerLied("The server's answer to STOW-RS does not mention the instance.")
    warning = count(stored or _NOTHING, WARNING_REASON) or 0
    return StoreOutcome(sop_uid, Verdict.STORED_WITH_WARNING if warning else Verdict.STORED, warning)


def _is_page(answer: Answer, body: bytes) -> bool:
    """Whether a page for people was answered, as proxies do, which know nothing of instances."""
    return "html" in answer.content_type.lower() or body.lstrip()[:14].lower().startswith((b"<html", b"<!doctype html"))


def _report(body: bytes, content_type: str) -> Item:
    """The data set of a Store Instances Response, empty when there is none (PS3.18 table I.1-1)."""
    if "xml" in content_type.lower() or body.lstrip().startswith(b"<"):
        return _parse_xml(body)
    found = parse_items(body)
    return found[0] if found else _NOTHING


def _entry(report: Item, sequence: str, sop_uid: str) -> Item | None:
    """What a sequence says about the instance. An entry without UID can only mean the one that was sent."""
    return next((item for item in items(report, sequence) if text(item, REFERENCED_SOP_UID) in ("", sop_uid)), None)


def _parse_xml(body: bytes) -> Item:
    """The Native DICOM Model (PS3.19 section A.1) in the shape of the JSON model; raises PeerLied."""
    if not body.strip():
        return {}
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as exc:
        raise PeerLied("The server's answer is not valid XML.") from exc
    if _name(root) != "NativeDicomModel":
        raise PeerLied("The server's answer to STOW-RS is no data set.")
    return _xml_item(root)


def _xml_item(element: ElementTree.Element) -> Item:
    attributes = (child for child in element if _name(child) == "DicomAttribute")
    return {child.get("tag", "").upper(): {"Value": [_xml_value(value) for value in child]} for child in attributes}


def _xml_value(element: ElementTree.Element) -> object:
    return _xml_item(element) if _name(element) == "Item" else (element.text or "").strip()


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
