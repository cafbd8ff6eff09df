"""Downloads come one instance at a time, say what was left out, and are never taken for whole when they are not."""

import gc
import weakref
from collections.abc import Iterator
from io import BytesIO

import httpx
import pytest
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from adit_client import AditClient, Retries, errors
from adit_client.parts import PartWriter
from tests.unit.client.conftest import TOKEN, URL, Maker

NIFTI_TYPE = 'multipart/related; type="application/octet-stream"; boundary=b'


def a_file(number: int, size: int = 100) -> bytes:
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID = f"1.2.{number}"
    dataset.PatientName = "Doe^Jane"
    dataset.PixelData = bytes(size)
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    target = BytesIO()
    dcmwrite(target, dataset, enforce_file_format=True)
    return target.getvalue()


class Served(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of an answer that is sent in pieces, and may break off with an error."""

    def __init__(self, pieces: Iterator[bytes], error: Exception | None = None) -> None:
        self.pieces = pieces
        self.error = error
        self.sent = 0
        self.is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            self.sent += len(piece)
            yield piece
        if self.error:
            raise self.error

    async def __aiter__(self):
        for piece in self:
            yield piece

    def close(self) -> None:
        self.is_closed = True

    async def aclose(self) -> None:
        self.is_closed = True


def cut(data: bytes, size: int = 61) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def receipt_part(writer: PartWriter, text: bytes) -> bytes:
    boundary = writer.content_type.rpartition("=")[2].encode()
    return b"--" + boundary + b"\r\nContent-Type: application/json\r\n\r\n" + text + b"\r\n"


def a_body(count: int, receipt: bytes = b"") -> tuple[str, bytes]:
    """A content type and a whole body."""
    writer = PartWriter()
    parts = [writer.part(a_file(number)) for number in range(count)]
    return writer.content_type, b"".join([*parts, receipt_part(writer, receipt) if receipt else b"", writer.closing()])


def serving(content_type: str, served: Served, **headers: str):
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": content_type, **headers}, stream=served)

    return handler


def test_every_instance_arrives(make: Maker) -> None:
    content_type, body = a_body(5)
    found = make(serving(content_type, Served(cut(body)))).retrieve_study("PACS", "1.2")
    assert [dataset.SOPInstanceUID for dataset in found] == [f"1.2.{number}" for number in range(5)]
    assert found.receipt is None
    assert found[0].file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_the_receipt_is_taken_and_is_no_instance(make: Maker) -> None:
    receipt = b'{"expected": 3, "sent": 2, "left_out": {"1.2.9": "Needs a review."}}'
    content_type, body = a_body(2, receipt)
    client = make(serving(content_type, Served(cut(body))))
    with pytest.warns(errors.InstancesLeftOut, match="1 instance"):
        found = client.retrieve_study("PACS", "1.2")
    assert len(found) == 2
    assert found.receipt.left_out == {"1.2.9": "Needs a review."}
    assert (found.receipt.expected, found.receipt.sent) == (3, 2)


def test_a_stream_has_the_receipt_at_its_end() -> None:
    content_type, body = a_body(2, b'{"expected": 2, "sent": 2, "left_out": {}}')
    client = AditClient(URL, TOKEN, transport=httpx.MockTransport(serving(content_type, Served(cut(body)))))
    with client.iter_study("PACS", "1.2") as images:
        next(images)
        assert images.receipt is None
        assert len(list(images)) == 1
        assert images.receipt is not None and images.receipt.sent == 2


@pytest.mark.parametrize("error", [None, httpx.ReadError("x"), httpx.RemoteProtocolError("x"), httpx.ReadTimeout("x")])
def test_a_download_that_breaks_off_gives_what_came_and_says_so(make: Maker, error: Exception | None) -> None:
    content_type, body = a_body(3)
    served = Served(cut(body[: len(body) * 2 // 3]), error)
    client = make(serving(content_type, served))
    with pytest.raises(errors.IncompleteDownload):
        client.retrieve_study("PACS", "1.2")
    assert served.is_closed


def test_a_receipt_that_does_not_fit_what_came_is_no_whole_download(make: Maker) -> None:
    content_type, body = a_body(2, b'{"expected": 3, "sent": 3, "left_out": {}}')
    with pytest.raises(errors.IncompleteDownload) as caught:
        make(serving(content_type, Served(cut(body)))).retrieve_study("PACS", "1.2")
    assert caught.value.receipt is not None and caught.value.receipt.sent == 3


def test_one_instance_is_held_at_a_time() -> None:
    writer = PartWriter()
    pieces = (writer.part(a_file(number, 100_000)) for number in range(50))
    served = Served(iter([*pieces, writer.closing()]))
    client = AditClient(URL, TOKEN, transport=httpx.MockTransport(serving(writer.content_type, served)))
    alive: list[weakref.ref[Dataset]] = []
    for number, image in enumerate(client.iter_study("PACS", "1.2"), start=1):
        alive.append(weakref.ref(image))
        del image
        assert served.sent < (number + 1) * 102_000
    gc.collect()
    assert sum(ref() is not None for ref in alive) == 0


def test_nothing_is_asked_before_the_first_instance_is_wanted() -> None:
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(404)

    client = AditClient(URL, TOKEN, transport=httpx.MockTransport(handler))
    images = client.iter_study("PACS", "1.2")
    assert asked == []
    with pytest.raises(errors.NotFound):
        next(images)


def test_who_stops_early_closes_the_answer() -> None:
    content_type, body = a_body(3)
    served = Served(cut(body))
    client = AditClient(URL, TOKEN, transport=httpx.MockTransport(serving(content_type, served)))
    with client.iter_study("PACS", "1.2") as images:
        next(images)
    assert served.is_closed and served.sent < len(body)
    assert list(images) == []


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", b"<html>"),
        ("multipart/related", b"--b--"),
        ("multipart/related; boundary=b", b"--b\r\n\r\nDoe^Jane\r\n--b--"),
    ],
)
def test_what_is_no_download_is_refused_and_not_quoted(make: Maker, content_type: str, body: bytes) -> None:
    served = Served(cut(body))
    with pytest.raises(errors.BadAnswer) as caught:
        make(serving(content_type, served)).retrieve_study("PACS", "1.2")
    assert "Jane" not in str(caught.value)
    assert served.is_closed


def test_a_busy_server_is_asked_again_for_a_download(make: Maker, pauses: list[float]) -> None:
    content_type, body = a_body(1)
    given = iter([httpx.Response(503, headers={"retry-after": "2"}), None])

    def handler(request: httpx.Request) -> httpx.Response:
        return next(given) or httpx.Response(200, headers={"content-type": content_type}, content=body)

    assert len(make(handler).retrieve_study("PACS", "1.2")) == 1
    assert len(pauses) == 1


def test_an_error_instead_of_a_download_is_raised(make: Maker) -> None:
    told = {"detail": "Nothing is left to send.", "code": "Excluded"}

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(409, json=told, headers={"content-type": "application/problem+json"})

    with pytest.raises(errors.Conflict, match="Nothing is left") as caught:
        list(make(handler).iter_series("PACS", "1.2", "1.3"))
    assert caught.value.code == "Excluded"


def test_nifti_files_have_their_names_and_no_paths(make: Maker) -> None:
    heads = [
        b'--b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="3-T1.json"',
        b"--b\r\nContent-Disposition: attachment; filename=3-T1.nii.gz",
        b'--b\r\nContent-Disposition: attachment; filename="../../etc/pass\\"wd"',
    ]
    body = b"".join(head + b"\r\n\r\nABC\r\n" for head in heads) + b"--b--\r\n"
    found = make(serving(NIFTI_TYPE, Served(cut(body)))).retrieve_nifti_series("PACS", "1.2", "1.3")
    assert [name for name, _ in found] == ["3-T1.json", "3-T1.nii.gz", 'pass"wd']
    assert {file.read() for _, file in found} == {b"ABC"}


def test_an_empty_answer_has_no_files(make: Maker) -> None:
    client = make(lambda request: httpx.Response(204))
    assert client.retrieve_nifti_study("PACS", "1.2") == []


def test_one_image_is_exactly_one(make: Maker) -> None:
    for count in (0, 2):
        content_type, body = a_body(count)
        with pytest.raises(errors.BadAnswer):
            make(serving(content_type, Served(cut(body)))).retrieve_image("PACS", "1.2", "1.3", "1.4")
    content_type, body = a_body(1)
    found = make(serving(content_type, Served(cut(body)))).retrieve_image("PACS", "1.2", "1.3", "1.4")
    assert found.SOPInstanceUID == "1.2.0"


def test_what_is_not_in_nifti_files_is_warned_of(make: Maker) -> None:
    body = b"--b\r\nContent-Disposition: attachment; filename=3-T1.nii.gz\r\n\r\nABC\r\n--b--\r\n"
    said = '299 - "2 of 9 instances were left out."'
    for method, uids in (("study", ("1.2",)), ("series", ("1.2", "1.3")), ("image", ("1.2", "1.3", "1.4"))):
        client = make(serving(NIFTI_TYPE, Served(cut(body)), warning=said))
        with pytest.warns(errors.InstancesLeftOut, match=r"^2 of 9 instances were left out\.$"):
            getattr(client, f"retrieve_nifti_{method}")("PACS", *uids)
        client = make(serving(NIFTI_TYPE, Served(cut(body)), warning=said))
        with pytest.warns(errors.InstancesLeftOut, match="2 of 9"):
            assert len(list(getattr(client, f"iter_nifti_{method}")("PACS", *uids))) == 1


# -- metadata --------------------------------------------------------------------------------------

TOLD = [{"00080018": {"vr": "UI", "Value": [f"1.2.{number}"]}} for number in range(2)]
METADATA = [("study", ("1.2",)), ("series", ("1.2", "1.3"))]


def telling(objects: list[dict[str, object]], **headers: str):
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers["x-adit-receipt"] == "part"
        assert request.headers["accept"] == "application/dicom+json"
        return httpx.Response(200, json=objects, headers={"content-type": "application/dicom+json", **headers})

    return handler


def a_receipt(sent: int, **left_out: str) -> dict[str, object]:
    return {"expected": sent + len(left_out), "sent": sent, "left_out": left_out}


@pytest.mark.parametrize(("level", "uids"), METADATA)
def test_metadata_of_a_server_that_sends_no_receipt_is_given_as_it_is(
    make: Maker, level: str, uids: tuple[str, ...]
) -> None:
    for told in (TOLD, [], [{}]):
        found = getattr(make(telling(told)), f"retrieve_{level}_metadata")("PACS", *uids)
        assert found == told
        assert found.receipt is None


@pytest.mark.parametrize(("level", "uids"), METADATA)
def test_the_receipt_of_metadata_is_taken_and_is_no_instance(make: Maker, level: str, uids: tuple[str, ...]) -> None:
    found = getattr(make(telling([*TOLD, a_receipt(2)])), f"retrieve_{level}_metadata")("PACS", *uids)
    assert found == TOLD
    assert (found.receipt.expected, found.receipt.sent, found.receipt.left_out) == (2, 2, {})


def test_what_is_left_out_of_metadata_is_warned_of(make: Maker) -> None:
    receipt = {"expected": None, "sent": 2, "left_out": {"1.2.9": "Needs a review.", "1.2.8": "Is excluded."}}
    with pytest.warns(errors.InstancesLeftOut, match="2 instances were left out"):
        found = make(telling([*TOLD, receipt])).retrieve_study_metadata("PACS", "1.2")
    assert found.receipt.expected is None
    assert found.receipt.left_out == {"1.2.9": "Needs a review.", "1.2.8": "Is excluded."}
    with pytest.warns(errors.InstancesLeftOut, match="1 series"):
        make(telling(TOLD, warning='299 - "1 series is left out."')).retrieve_study_metadata("PACS", "1.2")


def test_metadata_of_one_image_is_without_the_receipt(make: Maker) -> None:
    for told in (TOLD[:1], [TOLD[0], a_receipt(1)]):
        assert make(telling(told)).retrieve_image_metadata("PACS", "1.2", "1.3", "1.4") == TOLD[0]
    for told in ([], TOLD, [*TOLD, a_receipt(2)], [a_receipt(0)]):
        with pytest.raises(errors.BadAnswer):
            make(telling(told)).retrieve_image_metadata("PACS", "1.2", "1.3", "1.4")


@pytest.mark.parametrize("sent", [0, 1, 3])
def test_a_receipt_that_does_not_fit_the_metadata_is_no_whole_download(make: Maker, sent: int) -> None:
    with pytest.raises(errors.IncompleteDownload) as caught:
        make(telling([*TOLD, a_receipt(sent)])).retrieve_study_metadata("PACS", "1.2")
    assert caught.value.receipt is not None and caught.value.receipt.sent == sent


@pytest.mark.parametrize(
    "receipt", [{"sent": "Doe"}, {"sent": None}, {"sent": 2, "left_out": ["Doe"]}, {"expected": "Doe", "sent": 2}]
)
def test_a_receipt_of_metadata_that_cannot_be_read_is_refused_and_not_quoted(
    make: Maker, receipt: dict[str, object]
) -> None:
    with pytest.raises(errors.BadAnswer) as caught:
        make(telling([*TOLD, receipt])).retrieve_study_metadata("PACS", "1.2")
    assert "Doe" not in str(caught.value)


def test_only_the_last_object_can_be_a_receipt(make: Maker) -> None:
    objects = [a_receipt(0), *TOLD, a_receipt(2)]
    with pytest.raises(errors.IncompleteDownload):
        make(telling(objects)).retrieve_study_metadata("PACS", "1.2")


# -- storing ---------------------------------------------------------------------------------------


def stored(status: int, failed: int) -> httpx.Response:
    told = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [272]}}] * failed}} if failed else {}
    return httpx.Response(status, json=told, headers={"content-type": "application/dicom+json"})


def test_images_are_stored_as_datasets_files_and_paths(make: Maker, tmp_path) -> None:
    (tmp_path / "a.dcm").write_bytes(a_file(2))
    sent: list[bytes] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        assert request.headers["content-type"].startswith('multipart/related; type="application/dicom"; boundary=')
        return stored(200, 0)

    client = make(handler)
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", generate_uid()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    result = client.store_images("PACS", [a_file(1), dataset, tmp_path / "a.dcm", str(tmp_path / "a.dcm")])
    assert isinstance(result, Dataset)
    assert sent[0].count(a_file(2)) == 2 and a_file(1) in sent[0] and dataset.SOPInstanceUID.encode() in sent[0]


def test_what_was_not_stored_is_told(make: Maker) -> None:
    with pytest.warns(errors.InstancesNotStored, match="1 of the instances"):
        result = make(lambda request: stored(202, 1)).store_images("PACS", [b"x"])
    assert result.FailedSOPSequence[0].FailureReason == 272
    with pytest.raises(errors.NothingStored) as caught:
        make(lambda request: stored(409, 2)).store_images("PACS", [b"x"])
    assert len(caught.value.result.FailedSOPSequence) == 2


def test_a_refusal_to_store_is_no_result(make: Maker) -> None:
    with pytest.raises(errors.Conflict) as caught:
        make(lambda request: httpx.Response(409, json={"detail": "no"})).store_images("PACS", [b"x"])
    assert not isinstance(caught.value, errors.NothingStored)


@pytest.mark.parametrize("images", [b"DICM", "a.dcm", Dataset()])
def test_one_image_is_no_list(make: Maker, images: object) -> None:
    with pytest.raises(errors.BadArgument):
        make(lambda request: stored(200, 0), retries=Retries(tries=1)).store_images("PACS", images)


def test_a_dataset_without_what_a_file_needs_is_refused_without_quoting_it(make: Maker) -> None:
    dataset = Dataset()
    dataset.PatientName = "Doe^Jane"

    def handler(request: httpx.Request) -> httpx.Response:
        return stored(200, 0)

    with pytest.raises(errors.BadArgument) as caught:
        make(handler).store_images("PACS", [dataset])
    assert "Jane" not in str(caught.value)
