"""What archives really hold besides: broken values, lost VRs, old retired data, deep nesting, many scripts."""

import struct

from pydicom import Dataset
from pydicom.sequence import Sequence

from tests.corpus import pixels
from tests.corpus.encoding import encoded_dataset, raw_element
from tests.corpus.modules import UNSAFE_CREATOR, add_private, code, dataset, local_code, reference
from tests.corpus.planting import Case, Sort, uid
from tests.corpus.tomography import CT, ct, mr

IMPLICIT = "1.2.840.10008.1.2"
LEVELS = 8


def overlay_and_curve(case: Case) -> Dataset:
    """A CT image with an overlay that somebody has written on, and a retired curve."""
    made = ct(case)
    made.add_new(0x60000010, "US", 16)
    made.add_new(0x60000011, "US", 16)
    made.add_new(0x60000022, "LO", case.word(Sort.GRAPHIC))
    made.add_new(0x60000040, "CS", "G")
    made.add_new(0x60000050, "SS", [1, 1])
    made.add_new(0x60000100, "US", 1)
    made.add_new(0x60000102, "US", 0)
    made.add_new(0x60001500, "LO", case.word(Sort.GRAPHIC))
    made.add_new(0x60003000, "OW", case.word(Sort.GRAPHIC).encode().ljust(32, b"\0"))
    made.add_new(0x60004000, "LT", case.prose())
    made.add_new(0x50000005, "US", 2)
    made.add_new(0x50000022, "LO", case.word(Sort.GRAPHIC))
    made.add_new(0x50003000, "OW", case.word(Sort.GRAPHIC).encode())
    return made


def overlay_in_pixels(case: Case) -> Dataset:
    """A CT image whose highest bits are an overlay, as old scanners wrote names into pictures."""
    made = ct(case)
    pixels.put(made, pixels.noise(case.number) | (pixels.noise(case.number + 1, bits=1) << 15))
    made.add_new(0x60000010, "US", 16)
    made.add_new(0x60000011, "US", 16)
    made.add_new(0x60000040, "CS", "G")
    made.add_new(0x60000050, "SS", [1, 1])
    made.add_new(0x60000100, "US", 16)
    made.add_new(0x60000102, "US", 15)
    return made


def pixel_tail(case: Case) -> Dataset:
    """A CT image with a name behind its last pixel."""
    made = ct(case)
    made["PixelData"].value = made.PixelData + case.word(Sort.PRIVATE).encode()
    return made


def jpeg_comment(case: Case) -> Dataset:
    """A radiograph in JPEG baseline with a name in the comment of the compressed frame."""
    from tests.corpus.projection import dx

    made = dx(case)
    comment = f"{case.patient.family} {case.word(Sort.PRIVATE)}"
    pixels.put_jpeg(made, case.number, comment.encode())
    return made


def screen_save(case: Case) -> Dataset:
    """A CT image that is a copy of the console's screen."""
    made = ct(case)
    made.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    return made


def private_class(case: Case) -> Dataset:
    """An instance of a class that only its maker knows."""
    made = ct(case)
    made.SOPClassUID = "1.3.12.2.1107.5.9.1"
    return made


def deep_nesting(case: Case) -> Dataset:
    """An MR image with procedure steps nested in one another, each with its own names."""
    made = mr(case)
    inner: list[Dataset] = []
    for _ in range(LEVELS):
        level = dataset(
            ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
            ReferencedSOPInstanceUID=case.uid(f"level {len(inner)}"),
            RetrieveAETitle=case.word(Sort.DEVICE),
            StudyDate=case.date(),
            PatientName=case.name(),
            OtherPatientIDs=case.code("DEEP"),
            AccessionNumber=case.code("A"),
            StudyDescription=case.word(Sort.PROSE),
            TextValue=case.prose(),
            ConceptNameCodeSequence=[local_code(case)],
            RelatedSeriesSequence=inner,
        )
        add_private(level, case, nested=False)
        inner = [level]
    made.RelatedSeriesSequence = Sequence(
        [
            dataset(
                StudyInstanceUID=case.study_uid,
                SeriesInstanceUID=case.series_uid,
                PurposeOfReferenceCodeSequence=[],
                RelatedSeriesSequence=inner,
            )
        ]
    )
    return made


def private_blocks(case: Case) -> Dataset:
    """A CT image with safe private values that are what they should be, and ones with a name instead."""
    made = ct(case)
    gems = made.private_block(0x0019, "GEMS_ACQU_01", create=True)
    gems.add_new(0x23, "DS", "27.5")
    gems.add_new(0x9E, "LO", case.word(Sort.PRIVATE))
    gems.add_new(0x99, "LO", case.word(Sort.PRIVATE))
    philips = made.private_block(0x2001, "Philips Imaging DD 001", create=True)
    philips.add_new(0x03, "FL", 800.0)
    philips.add_new(0x33, "CS", case.word(Sort.PRIVATE).upper())
    shadowed = made.private_block(0x2005, f"{UNSAFE_CREATOR} {case.word(Sort.PRIVATE)}", create=True)
    shadowed.add_new(0x10, "FL", 1.5)
    item = dataset(ScheduledProcedureStepID=case.code("SPS"), RequestedProcedureID=case.code("RP"))
    nested = item.private_block(0x0019, "GEMS_ACQU_01", create=True)
    nested.add_new(0x23, "DS", "31.5")
    nested.add_new(0x24, "DS", "12")
    made.RequestAttributesSequence = Sequence([item])
    return made


def private_number(case: Case) -> Dataset:
    """A CT image that repeats an identifier, which is a number, as the value of a safe private attribute."""
    made = ct(case)
    made.AdmissionID = case.code()
    gems = made.private_block(0x0019, "GEMS_ACQU_01", create=True)
    gems.add_new(0x24, "DS", made.AdmissionID)
    return made


def lost_vrs(case: Case) -> dict[int, bytes]:
    """Elements as left by a system that did not know some sequences and texts: their VR is UN."""
    inner = dataset(PatientName=case.name(), StudyInstanceUID=case.study_uid, TextValue=case.prose())
    item = dataset(
        RequestedProcedureID=case.code("RP"),
        ScheduledProcedureStepID=case.code("SPS"),
        AccessionNumber=case.code("A"),
        ReferencedStudySequence=[
            dataset(ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1", ReferencedSOPInstanceUID=case.uid("lost"))
        ],
        RelatedSeriesSequence=[inner],
    )
    values = {
        0x00400275: _items(item),
        0x00104000: case.prose().encode(),
        0x00181030: case.word(Sort.PROSE).encode(),
        0x00081090: b"Model 7 ",
        0x00211001: _items(dataset(PatientName=case.name())),
    }
    lost = {tag: raw_element(tag, b"UN", value + b" " * (len(value) % 2)) for tag, value in values.items()}
    return {0x00210010: raw_element(0x00210010, b"LO", UNSAFE_CREATOR.encode() + b" "), **lost}


def _items(*items: Dataset) -> bytes:
    encoded = [encoded_dataset(item, IMPLICIT) for item in items]
    return b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(each)) + each for each in encoded)


def newer_attributes(case: Case) -> Dataset:
    """A CT image with attributes that the standard has gained since most dictionaries were printed."""
    made = ct(case)
    person = dataset()
    person.add_new(0x00100012, "LT", case.prose())
    person.add_new(0x00100013, "UT", case.prose())
    for tag in (0x00100011, 0x00100014, 0x00100041, 0x00100043):
        made.add_new(tag, "SQ", Sequence([person]))
    for tag in (0x00100016, 0x00100042, 0x00100045):
        made.add_new(tag, "UT", case.word(Sort.CHARACTERISTIC))
    made.add_new(0x00100047, "UR", f"https://example.org/{case.word(Sort.CHARACTERISTIC)}")
    made.add_new(0x00102162, "UC", case.word(Sort.CHARACTERISTIC))
    made.add_new(0x0040B03B, "LO", case.word(Sort.PROSE))
    made.add_new(0x0040B03F, "LO", case.word(Sort.PROSE))
    made.add_new(0x3004007F, "LO", case.word(Sort.PROSE))
    made.add_new(0x0040E012, "UR", f"https://example.org/{case.word(Sort.IDENTIFIER)}")
    return made


def empty_values(case: Case) -> Dataset:
    """An MR image in which whatever may be empty is empty."""
    made = mr(case)
    spared = {"PatientName", "PatientID", "SpecificCharacterSet"}
    for element in made:
        if element.VR in {"PN", "LO", "SH", "DA", "TM", "LT", "ST", "DT"} and element.keyword not in spared:
            element.value = ""
    for element in list(made):
        if element.tag.is_private:
            del made[element.tag]
    return made


BAD_DATES = (b"00000000", b"N/A ", b"1943-05-17", b"20230230", b"00010101", b"19431332", b"12.3.43 ", b"2023")
_DATE_TAGS = (0x00080012, 0x00080021, 0x00080022, 0x00080023, 0x00080024, 0x00080025, 0x00181012, 0x00400244)


def bad_dates(case: Case) -> dict[int, bytes]:
    """Elements with what people and devices write where a date should be."""
    found = {tag: raw_element(tag, b"DA", value) for tag, value in zip(_DATE_TAGS, BAD_DATES, strict=True)}
    found[0x0008002A] = raw_element(0x0008002A, b"DT", b"2023-02-30T10:11:12Z")
    found[0x00080032] = raw_element(0x00080032, b"TM", b"25:99 Uhr ")
    found[0x00080201] = raw_element(0x00080201, b"SH", case.word(Sort.PRIVATE).encode())
    found[0x00100030] = raw_element(0x00100030, b"DA", f"{case.patient.birth:%d.%m.%Y}".encode())
    return found


def bad_values(case: Case) -> dict[int, bytes]:
    """Elements with wrong contents and values that are too long."""
    values: dict[int, tuple[bytes, str]] = {
        0x00080060: (b"CS", "CT?"),
        0x00081090: (b"LO", "Model 7 with a name that is longer than the sixty-four letters allowed"),
        0x00100010: (b"PN", f"{case.patient.name}^^^^^^^"),
        0x00180015: (b"CS", case.word(Sort.PERSON)),
        0x00180022: (b"CS", f"{case.word(Sort.PRIVATE)} a much longer value than allowed"),
        0x00180050: (b"DS", f"5 mm, {case.word(Sort.PRIVATE)}"),
        0x00181020: (b"PN", case.word(Sort.PERSON)),
        0x00181150: (b"IS", f"ca. 500 ({case.word(Sort.PRIVATE)})"),
        0x00181210: (b"SH", "B30f" * 20),
        0x00200011: (b"IS", "eins"),
        0x00200013: (b"IS", "12345678901234567890"),
    }
    return {tag: raw_element(tag, vr, f"{text}{' ' * (len(text) % 2)}".encode()) for tag, (vr, text) in values.items()}


def odd_lengths(case: Case) -> dict[int, bytes]:
    """Elements of odd lengths."""
    return {
        0x00080070: raw_element(0x00080070, b"LO", b"Wymaker"),
        0x00081030: raw_element(0x00081030, b"LO", b"Thorax " + case.word(Sort.PROSE).encode()),
        0x00180022: raw_element(0x00180022, b"CS", b"HELICAL_MODE."),
        0x00181041: raw_element(0x00181041, b"DS", b"1"),
        0x00181210: raw_element(0x00181210, b"SH", b"B30"),
    }


def changed_attributes(case: Case) -> Dataset:
    """A CT image whose header tells what it was before it was changed, with an icon on which a name is written."""
    made = ct(case)
    made.OriginalAttributesSequence = Sequence(
        [
            dataset(
                SourceOfPreviousValues=case.word(Sort.INSTITUTION),
                AttributeModificationDateTime=case.date_time(),
                ModifyingSystem=case.word(Sort.DEVICE),
                ReasonForTheAttributeModification="COERCE",
                ModifiedAttributesSequence=[dataset(PatientName=case.name(), PatientID=case.code("ALT"))],
            )
        ]
    )
    made.SourceImageSequence = Sequence([reference(CT, "ct")])
    icon = Dataset()
    pixels.grey8(icon, case.number)
    icon["PixelData"].value = case.word(Sort.GRAPHIC).encode().ljust(len(icon.PixelData), b"\0")
    made.IconImageSequence = Sequence([icon])
    made.RelatedSeriesSequence = Sequence(
        [
            dataset(
                StudyInstanceUID=case.study_uid,
                SeriesInstanceUID=uid("ct/series"),
                PurposeOfReferenceCodeSequence=[code("121311", "DCM", "Localizer")],
            )
        ]
    )
    return made


def western(case: Case) -> Dataset:
    """ISO_IR 100 at the top, UTF-8 in an item."""
    return _written(case, "ISO_IR 100", "Müßiggang", "ISO_IR 192", "Žižkov 山田")


def unicode(case: Case) -> Dataset:
    """UTF-8 at the top, ISO_IR 100 in an item."""
    return _written(case, "ISO_IR 192", "Ångström 山田", "ISO_IR 100", "Größenwahn")


def cyrillic(case: Case) -> Dataset:
    """ISO_IR 144 at the top, ISO_IR 100 in an item."""
    return _written(case, "ISO_IR 144", "Люксембург", "ISO_IR 100", "Überländer")


def japanese(case: Case) -> Dataset:
    """Code extensions of ISO 2022 at the top, UTF-8 in an item."""
    return _written(case, ["", "ISO 2022 IR 87"], "山田病院", "ISO_IR 192", "やまだたろう")


def chinese(case: Case) -> Dataset:
    """GB18030 at the top, Cyrillic in an item."""
    return _written(case, "GB18030", "王小东医院", "ISO_IR 144", "Люксембург")


def _written(case: Case, top: str | list[str], text: str, inner: str, inner_text: str) -> Dataset:
    made = ct(case)
    made.SpecificCharacterSet = top
    for word in (*text.split(), *inner_text.split()):
        case.planted[word] = Sort.PERSON
    made.ReferringPhysicianName = text.replace(" ", "^")
    made.StudyDescription, made.PatientComments = text, f"siehe {text}"
    item = dataset(
        SpecificCharacterSet=inner,
        RequestedProcedureID=case.code("RP"),
        ScheduledProcedureStepID=case.code("SPS"),
        RequestedProcedureDescription=inner_text,
        RequestingPhysician=inner_text.replace(" ", "^"),
        ReasonForTheRequestedProcedure=f"wie {inner_text}",
        RequestedProcedureCodeSequence=[code(case.code("X", Sort.LOCAL_CODE), "99WYLOKAL", inner_text)],
    )
    made.RequestAttributesSequence = Sequence([item])
    return made
