"""The archive keeps to the protocol where DCMTK's tools do not look: cancelling, refusals, strange contexts."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset

from deployments.archive.identifiers import EXPLICIT, IMPLICIT, encoded
from deployments.archive.server import Archive
from deployments.archive.wire import RESPONSE, Command, Context, Element, Values, Wire, WireError, connect
from deployments.demo import studies
from deployments.demo.studies import StudyFiles
from dicom.part10 import split_part10

GET, CT = "1.2.840.10008.5.1.4.1.2.2.3", "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture(scope="module")
def a_study(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    return studies.write_ct(tmp_path_factory.mktemp("studies"), 1, 1, (5,), 16, 16)


@pytest.fixture
def archive(a_study: StudyFiles) -> Iterator[Archive]:
    running = Archive("ARCHIVE", 0, a_study.files[0].parent, {})
    thread = threading.Thread(target=running.serve)
    thread.start()
    yield running
    running.stop()
    thread.join()


def a_get(wire: Wire, study_uid: str) -> None:
    wanted = Dataset()
    wanted.QueryRetrieveLevel = "STUDY"
    wanted.StudyInstanceUID = study_uid
    request: Values = {
        Element.SOP_CLASS: GET,
        Element.COMMAND: Command.GET,
        Element.MESSAGE_ID: 7,
        Element.PRIORITY: 0,
    }
    wire.send(1, request, (encoded(wanted, EXPLICIT),))


def asked(archive: Archive, syntax: str = EXPLICIT) -> Wire:
    contexts = [Context(1, GET, (EXPLICIT,)), Context(3, CT, (syntax,))]
    return connect("127.0.0.1", archive.port, "ARCHIVE", "TESTER", contexts)


def next_answer(wire: Wire, status: int = 0) -> tuple[int, int]:
    """Command and status of the next message; a C-STORE is answered."""
    message = wire.receive()
    assert message is not None
    if message.command == Command.STORE:
        wire.send(
            message.context_id,
            {
                Element.SOP_CLASS: message.text(Element.SOP_CLASS),
                Element.COMMAND: Command.STORE | RESPONSE,
                Element.ANSWERED_MESSAGE_ID: message.number(Element.MESSAGE_ID),
                Element.STATUS: status,
                Element.SOP_INSTANCE: message.text(Element.SOP_INSTANCE),
            },
        )
    return message.command, message.number(Element.STATUS)


def test_a_canceled_retrieval_stops_before_the_next_instance(archive: Archive, a_study: StudyFiles) -> None:
    wire = asked(archive)
    a_get(wire, a_study.study_uid)
    message = wire.receive()
    assert message is not None
    assert message.command == Command.STORE
    wire.send(1, {Element.COMMAND: Command.CANCEL, Element.ANSWERED_MESSAGE_ID: 7})
    wire.send(
        message.context_id,
        {
            Element.SOP_CLASS: CT,
            Element.COMMAND: Command.STORE | RESPONSE,
            Element.ANSWERED_MESSAGE_ID: message.number(Element.MESSAGE_ID),
            Element.STATUS: 0,
            Element.SOP_INSTANCE: message.text(Element.SOP_INSTANCE),
        },
    )
    assert next_answer(wire) == (Command.GET | RESPONSE, 0xFF00)
    ended = wire.receive()
    assert ended is not None
    assert (ended.command, ended.number(Element.STATUS)) == (Command.GET | RESPONSE, 0xFE00)
    assert (ended.number(Element.COMPLETED), ended.number(Element.REMAINING)) == (1, 4)
    wire.release()


def test_instances_that_the_peer_refuses_are_counted_as_failed(archive: Archive, a_study: StudyFiles) -> None:
    wire = asked(archive)
    a_get(wire, a_study.study_uid)
    answers = [next_answer(wire, 0xA700 if number < 4 else 0xB000) for number in range(10)]
    assert answers == [(Command.STORE, 0), (Command.GET | RESPONSE, 0xFF00)] * 5
    ended = wire.receive()
    assert ended is not None
    assert ended.number(Element.STATUS) == 0xB000
    assert (ended.number(Element.FAILED), ended.number(Element.WARNING)) == (2, 3)
    wire.release()


def test_a_native_instance_is_recoded_for_a_peer_that_knows_another_native_syntax_only(
    archive: Archive, a_study: StudyFiles
) -> None:
    wire = asked(archive, IMPLICIT)
    a_get(wire, a_study.study_uid)
    message = wire.receive()
    assert message is not None
    original = {one.sop_uid: one for one in map(split_part10, (path.read_bytes() for path in a_study.files))}
    parts = b"".join(original[message.text(Element.SOP_INSTANCE)].parts)
    assert bytes(message.data[4:8]) == (10).to_bytes(4, "little")
    assert message.data[-512:] == parts[-512:]
    wire.close()


def test_an_association_under_another_name_is_refused(archive: Archive) -> None:
    with pytest.raises(WireError, match="refused"):
        connect("127.0.0.1", archive.port, "OTHER", "TESTER", [Context(1, GET, (EXPLICIT,))])


def test_what_is_not_ours_to_serve_is_not_accepted(archive: Archive) -> None:
    unknown = "1.2.840.10008.5.1.4.31"  # modality worklist
    wire = connect("127.0.0.1", archive.port, "ARCHIVE", "TESTER", [Context(1, unknown, (EXPLICIT,))])
    assert wire.accepted == {}
    wire.release()


def test_stopping_ends_open_associations(a_study: StudyFiles, tmp_path: Path) -> None:
    running = Archive("ARCHIVE", 0, tmp_path, {})
    thread = threading.Thread(target=running.serve)
    thread.start()
    wire = asked(running)
    running.stop()
    thread.join(10)
    assert not thread.is_alive()
    with pytest.raises(WireError):
        wire.receive()
    wire.close()
