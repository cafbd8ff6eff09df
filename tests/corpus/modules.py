"""The modules that most instances share (PS3.3 sections C.7 and C.12), with an identity in every place they have."""

from collections.abc import Iterable

from pydicom import Dataset
from pydicom.sequence import Sequence

from tests.corpus.planting import Case, Sort, uid

SAFE_CREATOR, UNSAFE_CREATOR = "SIEMENS MR HEADER", "WYMAKER HIS 1.0"


def dataset(**values: object) -> Dataset:
    """Return a data set with these attributes; lists of data sets become sequences."""
    made = Dataset()
    for keyword, value in values.items():
        is_sequence = isinstance(value, list) and value and isinstance(value[0], Dataset)
        setattr(made, keyword, Sequence(value) if is_sequence else value)
    return made


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """A coded concept."""
    return dataset(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def local_code(case: Case) -> Dataset:
    """A code that a hospital has made up, with a person in its meaning."""
    return code(case.code("X", Sort.LOCAL_CODE), "99WYLOKAL", f"Protokoll {case.word(Sort.LOCAL_CODE)}")


def reference(sop_class_uid: str, kind: str) -> Dataset:
    """A reference to the instance of another kind."""
    return dataset(ReferencedSOPClassUID=sop_class_uid, ReferencedSOPInstanceUID=uid(f"{kind}/sop"))


def header(case: Case, sop_class_uid: str, modality: str, **values: object) -> Dataset:
    """Everything that patient, study, series, equipment and SOP instance have; ``values`` are set at last."""
    made = Dataset()
    for add in (_sop, _patient, _patient_study, _study, _equipment):
        add(made, case)
    made.SOPClassUID, made.Modality = sop_class_uid, modality
    _series(made, case)
    _procedure(made, case)
    add_private(made, case)
    for keyword, value in dataset(**values).items():
        made[keyword] = value
    return made


def _sop(made: Dataset, case: Case) -> None:
    made.SpecificCharacterSet = "ISO_IR 100"
    made.SOPInstanceUID = case.sop_uid
    made.InstanceCreationDate, made.InstanceCreationTime = case.date(), case.time()
    made.InstanceCreatorUID = case.uid("creator")
    made.InstanceNumber = "1"
    made.TimezoneOffsetFromUTC = "+0100"
    made.ContributingEquipmentSequence = Sequence(
        [
            dataset(
                PurposeOfReferenceCodeSequence=[code("109102", "DCM", "Processing Equipment")],
                Manufacturer="Wymaker",
                InstitutionName=case.word(Sort.INSTITUTION),
                InstitutionAddress=case.address(Sort.INSTITUTION),
                StationName=case.word(Sort.DEVICE),
                DeviceSerialNumber=case.code("SN", Sort.DEVICE),
                OperatorsName=case.name(),
                ContributionDateTime=case.date_time(),
                ContributionDescription=case.prose(),
            )
        ]
    )


def _patient(made: Dataset, case: Case) -> None:
    patient = case.patient
    made.PatientName, made.PatientID = patient.name, patient.patient_id
    made.IssuerOfPatientID = case.word(Sort.IDENTIFIER)
    made.PatientBirthDate, made.PatientBirthTime = f"{patient.birth:%Y%m%d}", case.time()
    made.PatientSex = "F"
    made.OtherPatientNames = case.name()
    made.OtherPatientIDsSequence = Sequence(
        [dataset(PatientID=case.code("ALT"), IssuerOfPatientID=case.word(Sort.IDENTIFIER), TypeOfPatientID="TEXT")]
    )
    made.PatientBirthName, made.PatientMotherBirthName = case.name(), case.name()
    made.PatientAddress = case.address()
    made.PatientTelephoneNumbers = case.phone()
    made.EthnicGroup = case.word(Sort.CHARACTERISTIC)
    made.PatientReligiousPreference = case.word(Sort.PROSE)
    made.MilitaryRank = case.word(Sort.PROSE)
    made.RegionOfResidence = case.word(Sort.CONTACT)
    made.PatientComments = case.prose()


def _patient_study(made: Dataset, case: Case) -> None:
    made.AdmittingDiagnosesDescription = case.word(Sort.PROSE)
    made.PatientAge, made.PatientSize, made.PatientWeight = "064Y", case.measure(), case.measure()
    made.MedicalAlerts, made.Allergies = case.word(Sort.PROSE), case.word(Sort.PROSE)
    made.Occupation = case.word(Sort.PROSE)
    made.AdditionalPatientHistory = case.prose()
    made.SmokingStatus = "YES"
    made.LastMenstrualDate = case.date()
    made.AdmissionID = case.code("ADM")


def _study(made: Dataset, case: Case) -> None:
    made.StudyInstanceUID = case.study_uid
    made.StudyDate, made.StudyTime = f"{case.study_date:%Y%m%d}", case.time()
    made.AccessionNumber, made.StudyID = case.code("A"), case.code()
    made.ReferringPhysicianName = case.name()
    made.ReferringPhysicianAddress = case.address()
    made.ReferringPhysicianTelephoneNumbers = case.phone()
    made.PhysiciansOfRecord, made.NameOfPhysiciansReadingStudy = case.name(), case.name()
    made.RequestingPhysician = case.name()
    made.StudyDescription = f"CT Thorax {case.word(Sort.PROSE)}"
    made.ProcedureCodeSequence = Sequence([code("24627-2", "LN", "CT Chest"), local_code(case)])
    made.ReferencedStudySequence = Sequence(
        [
            dataset(
                ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
                ReferencedSOPInstanceUID=uid(f"detached study/{case.study}"),
            )
        ]
    )


def _equipment(made: Dataset, case: Case) -> None:
    made.Manufacturer, made.ManufacturerModelName = "Wymaker", "Model 7"
    made.SoftwareVersions = "VA40A"
    made.InstitutionName = f"Klinikum {case.word(Sort.INSTITUTION)}"
    made.InstitutionAddress = case.address(Sort.INSTITUTION)
    made.InstitutionalDepartmentName = case.word(Sort.INSTITUTION)
    made.StationName = case.word(Sort.DEVICE)
    made.DeviceSerialNumber = case.code("SN", Sort.DEVICE)
    made.GantryID = case.word(Sort.DEVICE)
    made.DeviceUID = case.uid("device")
    made.DateOfLastCalibration, made.TimeOfLastCalibration = case.date(), case.time()
    made.UDISequence = Sequence(
        [dataset(UniqueDeviceIdentifier=f"(01){case.code(sort=Sort.DEVICE)}", DeviceDescription=case.word(Sort.PROSE))]
    )


def _series(made: Dataset, case: Case) -> None:
    made.SeriesInstanceUID, made.SeriesNumber = case.series_uid, str(case.number)
    made.BodyPartExamined = "CHEST"
    made.SeriesDate, made.SeriesTime = case.date(), case.time()
    made.SeriesDescription = f"Axial 5mm {case.word(Sort.PROSE)}"
    made.ProtocolName = f"Thorax {case.word(Sort.PROSE)}"
    made.PerformingPhysicianName, made.OperatorsName = case.name(), case.name()
    made.OperatorIdentificationSequence = Sequence(
        [
            dataset(
                PersonIdentificationCodeSequence=[local_code(case)],
                PersonAddress=case.address(),
                PersonTelephoneNumbers=case.phone(),
                InstitutionName=case.word(Sort.INSTITUTION),
            )
        ]
    )


def _procedure(made: Dataset, case: Case) -> None:
    made.PerformedProcedureStepStartDate, made.PerformedProcedureStepStartTime = case.date(), case.time()
    made.PerformedProcedureStepEndDate, made.PerformedProcedureStepEndTime = case.date(), case.time()
    made.PerformedProcedureStepID = case.code("PPS")
    made.PerformedProcedureStepDescription = case.word(Sort.PROSE)
    made.CommentsOnThePerformedProcedureStep = case.prose()
    made.RequestAttributesSequence = Sequence(
        [
            dataset(
                AccessionNumber=case.code("A"),
                RequestedProcedureID=case.code("RP"),
                RequestedProcedureDescription=case.word(Sort.PROSE),
                ScheduledProcedureStepID=case.code("SPS"),
                ScheduledProcedureStepDescription=case.word(Sort.PROSE),
                ScheduledProtocolCodeSequence=[local_code(case)],
                ReasonForTheRequestedProcedure=case.brief(),
            )
        ]
    )


def image(case: Case, *image_type: str) -> dict[str, object]:
    """The attributes of the General Image Module, with acquisition and content times and a comment."""
    return {
        "ImageType": list(image_type or ("ORIGINAL", "PRIMARY", "AXIAL")),
        "AcquisitionNumber": "1",
        "AcquisitionDate": case.date(),
        "AcquisitionTime": case.time(),
        "ContentDate": case.date(),
        "ContentTime": case.time(),
        "ImageComments": case.prose(),
        "DerivationDescription": case.word(Sort.PROSE),
        "PatientOrientation": ["L", "P"],
        "WindowCenter": "40",
        "WindowWidth": "400",
        "LossyImageCompression": "00",
    }


def plane(case: Case, position: float = 0.0) -> dict[str, object]:
    """The attributes of the Image Plane and Frame of Reference Modules."""
    return {
        "PixelSpacing": ["0.5", "0.5"],
        "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
        "ImagePositionPatient": ["-4", "-4", f"{position:g}"],
        "SliceThickness": "5",
        "FrameOfReferenceUID": case.frame_of_reference_uid,
        "PositionReferenceIndicator": "",
        "PatientPosition": "HFS",
    }


def add_private(made: Dataset, case: Case, nested: bool = True) -> None:
    """Add a block that nobody knows, with names in every VR, and a value of a block that the standard calls safe."""
    block = made.private_block(0x0009, UNSAFE_CREATOR, create=True)
    block.add_new(0x01, "LO", case.word(Sort.PRIVATE))
    block.add_new(0x02, "PN", case.name())
    block.add_new(0x03, "DA", case.date())
    block.add_new(0x04, "UI", case.uid("private"))
    block.add_new(0x05, "OB", case.word(Sort.PRIVATE).encode())
    block.add_new(0x06, "UN", case.word(Sort.PRIVATE).encode())
    block.add_new(0x07, "ST", case.prose())
    if nested:
        inner = dataset(PatientName=case.name(), StudyDescription=case.word(Sort.PROSE))
        add_private(inner, case, nested=False)
        block.add_new(0x08, "SQ", Sequence([inner]))
    safe = made.private_block(0x0019, SAFE_CREATOR, create=True)
    safe.add_new(0x0C, "IS", "1000")
    safe.add_new(0x77, "LO", case.word(Sort.PRIVATE))


def referenced(series: Iterable[tuple[str, str]], study: str) -> list[Dataset]:
    """The study's item of a Referenced Series or evidence sequence; each kind of the corpus is a series of its own."""
    items = [
        dataset(SeriesInstanceUID=uid(f"{kind}/series"), ReferencedSOPSequence=[reference(sop_class, kind)])
        for sop_class, kind in series
    ]
    return [dataset(StudyInstanceUID=uid(f"study/{study}"), ReferencedSeriesSequence=items)]
