"""Data sets of queries and their answers, to and from bytes. The only part of the archive that encodes data sets."""

from collections.abc import Mapping
from io import BytesIO

from pydicom import (
    Dataset,
    config,
    dcmread,  # pyright: ignore[reportUnknownVariableType]
)
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset  # pyright: ignore[reportUnknownVariableType]
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from dicom.part10 import part10_prefix, split_part10
from models.domain.instances import EncodedInstance

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
NATIVE = (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED)
"""Transfer syntaxes whose pixels are not compressed, so that one can be made from the other."""


def tolerate_values() -> None:
    """Let pydicom in this process take values as they are in the files, valid or not."""
    config.settings.reading_validation_mode = config.IGNORE
    config.settings.writing_validation_mode = config.IGNORE


class DecodingError(Exception):
    """The bytes are not a data set."""


def decoded(content: bytes | bytearray, syntax_uid: str) -> Dataset:
    """The data set in these bytes, with its text decoded; raises DecodingError."""
    try:
        data_set = read_dataset(BytesIO(content), syntax_uid == IMPLICIT, syntax_uid != BIG_ENDIAN)
        data_set.decode()
    except Exception as exc:  # pydicom raises many kinds for broken data sets
        raise DecodingError from exc
    return data_set


def encoded(data_set: Dataset, syntax_uid: str) -> bytes:
    """The bytes of a data set in a native transfer syntax."""
    file = DicomBytesIO()
    file.is_implicit_VR = syntax_uid == IMPLICIT
    file.is_little_endian = syntax_uid != BIG_ENDIAN
    write_dataset(file, data_set)
    return file.getvalue()


def answer_to(identifier: Dataset, found: Mapping[str, object], ae_title: str) -> Dataset:
    """The keys of an identifier with the values found; what is not known stays empty (PS3.4 section C.4.1.1.3.2)."""
    answer = Dataset()
    answer.SpecificCharacterSet = "ISO_IR 192"
    answer.RetrieveAETitle = ae_title
    answer.InstanceAvailability = "ONLINE"
    answer.QueryRetrieveLevel = identifier.QueryRetrieveLevel
    for element in identifier:
        if element.keyword in found:
            setattr(answer, element.keyword, found[element.keyword])
        elif element.tag not in answer:
            answer.add_new(element.tag, element.VR, None if element.VR != "SQ" else [])
    return answer


def transcoded(instance: EncodedInstance, syntax_uid: str) -> EncodedInstance:
    """The same instance in explicit or implicit VR little endian; both syntaxes must be native."""
    head = part10_prefix(instance.sop_class_uid, instance.sop_uid, instance.transfer_syntax_uid)
    data_set = dcmread(BytesIO(b"".join((head, *instance.parts))))
    data_set.file_meta.TransferSyntaxUID = UID(syntax_uid)
    file = BytesIO()
    data_set.save_as(file, implicit_vr=syntax_uid == IMPLICIT, little_endian=True)
    return split_part10(file.getvalue())
