"""Headers as scanners write them, of invented studies, with the identity planted at every level."""

from typing import Any

from pydicom import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import CTImageStorage, MRImageStorage

from deployments.demo.cases import ROOT, Case

STUDY_DATE = "20240312"


def describe_pixels(header: Dataset, rows: int, columns: int, frames: int = 0, samples: int = 1) -> None:
    """Set the Image Pixel attributes (PS3.3 section C.7.6.3)."""
    header.SamplesPerPixel = samples
    header.PhotometricInterpretation = "RGB" if samples == 3 else "MONOCHROME2"
    if samples == 3:
        header.PlanarConfiguration = 0
    if frames:
        header.NumberOfFrames = frames
    header.Rows, header.Columns = rows, columns
    header.BitsAllocated = 8 if samples == 3 else 16
    header.BitsStored = 8 if samples == 3 else 12
    header.HighBit = header.BitsStored - 1
    header.PixelRepresentation = 0


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    return _item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _reference(sop_class_uid: str, sop_uid: str) -> Dataset:
    return _item(ReferencedSOPClassUID=sop_class_uid, ReferencedSOPInstanceUID=sop_uid)


def _item(**values: Any) -> Dataset:
    item = Dataset()
    _set(item, **values)
    return item


def _set(header: Dataset, **values: Any) -> None:
    for keyword, value in values.items():
        setattr(header, keyword, value)


def _common_header(case: Case) -> Dataset:
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 100"
    _add_patient(header, case)
    _add_times(header)
    _add_study(header, case)
    _add_place(header, case)
    _add_request(header, case)
    _add_private(header, case)
    return header


def _add_patient(header: Dataset, case: Case) -> None:
    person = case.person
    old = _item(PatientID=person.other_id, IssuerOfPatientID="LEGACY", TypeOfPatientID="TEXT")
    _set(
        header,
        PatientName=person.name,
        PatientID=person.patient_id,
        IssuerOfPatientID="HOSP",
        PatientBirthDate=person.birth_date,
        PatientSex=person.sex,
        PatientAge="062Y",
        PatientSize="1.78",
        PatientWeight="82",
        OtherPatientIDs=[person.other_id, person.patient_id],
        OtherPatientIDsSequence=[old],
        OtherPatientNames=f"{person.family}^Alt{person.given}",
        PatientAddress=f"{person.street}, Quarnstadt",
        PatientTelephoneNumbers=person.phone,
        PatientMotherBirthName=f"{person.family}mutter",
        MedicalAlerts=f"Allergie, Info {person.phone}",
        AdditionalPatientHistory=f"Z.n. OP, {person.family} ruft zurück unter {person.phone}",
        PatientComments=f"Mobil {person.phone}",
        EthnicGroup="n/a",
        PregnancyStatus=4,
    )


def _add_times(header: Dataset) -> None:
    for event in ("Study", "Series", "Acquisition", "Content", "InstanceCreation"):
        setattr(header, f"{event}Date", STUDY_DATE)
        setattr(header, f"{event}Time", "101500.000000")
    header.AcquisitionDateTime = f"{STUDY_DATE}101733.250000"
    header.PerformedProcedureStepStartDate = STUDY_DATE
    header.PerformedProcedureStepStartTime = "101500.000"


def _add_study(header: Dataset, case: Case) -> None:
    person = case.person
    _set(
        header,
        SOPClassUID=case.sop_class_uid,
        StudyInstanceUID=case.study_uid,
        Modality=case.modality,
        AccessionNumber=person.accession,
        StudyID=person.study_id,
        StudyDescription=f"{case.modality} Abdomen {person.family}",
        SeriesDescription=f"Routine 1.0 {person.given}",
        ProtocolName=f"Abdomen_{person.family}",
        ImageComments=f"Aufnahme von {person.family}",
        InstanceCreatorUID=f"{ROOT}.9.1",
        BurnedInAnnotation="NO",
        BodyPartExamined="ABDOMEN",
        PatientPosition="HFS",
        ProcedureCodeSequence=[_code("P5-09051", "SRT", "Imaging of abdomen")],
        AnatomicRegionSequence=[_code("T-D4000", "SRT", "Abdomen")],
        ReferencedStudySequence=[_reference("1.2.840.10008.3.1.2.3.1", case.study_uid)],
        ReferencedPerformedProcedureStepSequence=[
            _reference("1.2.840.10008.3.1.2.3.3", f"{ROOT}.7.{case.number}"),
        ],
        ReferencedPatientSequence=[_reference("1.2.840.10008.3.1.2.1.1", f"{ROOT}.1.{case.patient}.79")],
    )


def _add_place(header: Dataset, case: Case) -> None:
    person = case.person
    referrer = _item(
        PersonIdentificationCodeSequence=Items([_code("R1", "99LOCAL", person.referrer)]),
        PersonTelephoneNumbers=person.phone,
        InstitutionName=person.institution,
    )
    _set(
        header,
        Manufacturer="ACME MEDICAL SYSTEMS",
        ManufacturerModelName="Model X 128",
        InstitutionName=person.institution,
        InstitutionAddress=f"Hauptstraße 1, {person.institution}",
        InstitutionalDepartmentName=f"Radiologie {person.institution}",
        StationName=person.station,
        DeviceSerialNumber=person.serial,
        SoftwareVersions=["syn 2012B", "VA40"],
        ReferringPhysicianName=f"{person.referrer}^Jürgen^^Dr.",
        ReferringPhysicianIdentificationSequence=[referrer],
        PhysiciansOfRecord=[f"{person.referrer}^Anna", f"{person.operator}^Jörg"],
        PerformingPhysicianName=f"{person.operator}^Paul",
        NameOfPhysiciansReadingStudy=f"{person.referrer}^Rita",
        OperatorsName=f"{person.operator}^Otto",
    )


def _add_request(header: Dataset, case: Case) -> None:
    person = case.person
    request = _item(
        RequestedProcedureID=person.request_id,
        ScheduledProcedureStepID=f"S{person.request_id}",
        RequestedProcedureDescription=f"Abdomen bei {person.family}",
        AccessionNumber=person.accession,
        ScheduledProtocolCodeSequence=Items([_code("ABD1", "99LOC", "Abdomen"), _code("ABD2", "99LOC", "Becken")]),
    )
    _set(
        header,
        RequestingPhysician=f"{person.referrer}^Rolf",
        RequestingService=person.institution,
        RequestedProcedureDescription=f"Abdomen nativ, {person.family}",
        PerformedProcedureStepID=f"P{person.request_id}",
        PerformedProcedureStepDescription=f"Abdomen {person.given}",
        RequestAttributesSequence=[request],
    )


def _add_private(header: Dataset, case: Case) -> None:
    person = case.person
    block = header.private_block(0x0009, "ACME PRIVATE 01", create=True)
    block.add_new(0x10, "LO", f"intern {person.family}")
    block.add_new(0x12, "DS", ["1.5", "2.5", "3.5"])
    block.add_new(0x14, "OB", person.name.encode() + case.random.bytes(64 - len(person.name)))
    block.add_new(0x20, "UI", f"{case.study_uid}.900")
    block.add_new(0x21, "PN", person.name)
    block.add_new(0x22, "DA", person.birth_date)
    inner = _item(PatientName=person.name, PatientID=person.patient_id)
    block.add_new(0x30, "SQ", Items([inner]))


def ct_header(case: Case, series: int) -> Dataset:
    """A CT image of a scanner, without its pixels."""
    header = _common_header(case)
    _set(
        header,
        FrameOfReferenceUID=f"{ROOT}.4.{case.number}",
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"],
        KVP="120",
        SliceThickness="1.0",
        DataCollectionDiameter="500",
        ReconstructionDiameter="380",
        DistanceSourceToDetector="1085.6",
        DistanceSourceToPatient="595",
        GantryDetectorTilt="0",
        TableHeight="150",
        RotationDirection="CW",
        ExposureTime=500,
        XRayTubeCurrent=210,
        Exposure=105,
        FilterType="0",
        GeneratorPower=25,
        FocalSpots="1.2",
        ConvolutionKernel="B30f",
        DateOfLastCalibration=STUDY_DATE,
        TimeOfLastCalibration="070000.000",
        SingleCollimationWidth=0.6,
        TotalCollimationWidth=38.4,
        TableSpeed=46.0,
        SpiralPitchFactor=0.6,
        CTDIvol=7.3,
    )
    _add_geometry(header)
    header.RescaleIntercept, header.RescaleSlope, header.RescaleType = "-1024", "1", "HU"
    header.SourceImageSequence = Items([_reference(CTImageStorage, case.sop_uid(series, n)) for n in (1, 2)])
    header.CTDIPhantomTypeCodeSequence = Items([_code("113691", "DCM", "IEC Body Dosimetry Phantom")])
    block = header.private_block(0x0029, "ACME CT HEADER", create=True)
    for element in range(8, 40):
        block.add_new(element, "LO", f"private value {element}")
    return header


def mr_header(case: Case, series: int) -> Dataset:
    """An MR image with a vendor's private blocks, without its pixels."""
    header = _common_header(case)
    _set(
        header,
        FrameOfReferenceUID=f"{ROOT}.4.{case.number}",
        ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "NORM"],
        ScanningSequence="SE",
        SequenceVariant=["SK", "SP"],
        ScanOptions="PFP",
        MRAcquisitionType="2D",
        SequenceName="*tse2d1_15",
        AngioFlag="N",
        SliceThickness="4",
        RepetitionTime="4500",
        EchoTime="98",
        NumberOfAverages="2",
        ImagingFrequency="63.68",
        ImagedNucleus="1H",
        EchoNumbers="1",
        MagneticFieldStrength="1.5",
        SpacingBetweenSlices="4.4",
        EchoTrainLength="15",
        PercentSampling="90",
        PixelBandwidth="191",
        TransmitCoilName="Body",
        AcquisitionMatrix=[0, 320, 288, 0],
        FlipAngle="150",
        SAR="1.2",
        dBdt="150",
    )
    _add_geometry(header)
    header.ReferencedImageSequence = Items([_reference(MRImageStorage, case.sop_uid(1, n)) for n in (1, 2, 3)])
    _add_siemens(header, case)
    return header


def _add_geometry(header: Dataset) -> None:
    header.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    header.PixelSpacing = ["0.7421875", "0.7421875"]
    header.SmallestImagePixelValue, header.LargestImagePixelValue = 0, 4095
    header.WindowCenter, header.WindowWidth = ["1200", "1800"], ["2400", "1500"]
    header.WindowCenterWidthExplanation = ["WINDOW1", "WINDOW2"]


def _add_siemens(header: Dataset, case: Case) -> None:
    """Private blocks as an MR of Siemens has them; the patient's name stands in the binary CSA header there, too."""
    block = header.private_block(0x0019, "ACME MR HEADER", create=True)
    for element in range(8, 30):
        block.add_new(element, "DS", f"{element}.125")
    csa = header.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    csa.add_new(0x08, "CS", "IMAGE NUM 4")
    csa.add_new(0x09, "LO", STUDY_DATE)
    csa.add_new(0x10, "OB", case.random.bytes(10240))
    csa.add_new(0x18, "CS", "MR")
    text = f'tPatientName "{case.person.name}"'.encode()
    csa.add_new(0x20, "OB", text + bytes(len(text) % 2) + case.random.bytes(8192))


def us_header(case: Case) -> Dataset:
    """An ultrasound multi-frame image that says it shows no text, without its pixels."""
    header = _common_header(case)
    region = _item(
        RegionSpatialFormat=1,
        RegionDataType=1,
        RegionFlags=0,
        RegionLocationMinX0=0,
        RegionLocationMinY0=0,
        RegionLocationMaxX1=159,
        RegionLocationMaxY1=119,
        PhysicalUnitsXDirection=3,
        PhysicalUnitsYDirection=3,
        PhysicalDeltaX=0.03,
        PhysicalDeltaY=0.03,
    )
    _set(
        header,
        ImageType=["ORIGINAL", "PRIMARY"],
        FrameTime="40",
        FrameIncrementPointer=0x00181063,
        SequenceOfUltrasoundRegions=[region],
    )
    return header


def enhanced_header(case: Case, frames: int) -> Dataset:
    """An enhanced CT image with functional groups for each frame, without its pixels."""
    header = _common_header(case)
    header.FrameOfReferenceUID = f"{ROOT}.4.{case.number}"
    header.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    header.PerFrameFunctionalGroupsSequence = Items([_frame_group(case, number) for number in range(1, frames + 1)])
    return header


def _frame_group(case: Case, number: int) -> Dataset:
    moment = f"{STUDY_DATE}101733.250000"
    content = _item(
        FrameAcquisitionDateTime=moment,
        FrameReferenceDateTime=moment,
        FrameAcquisitionDuration=500.0,
        FrameComments=f"Bild {number} von {case.person.family}",
        StackID="1",
        InStackPositionNumber=number,
        DimensionIndexValues=[1, number],
    )
    group = Dataset()
    _set(
        group,
        FrameContentSequence=[content],
        PlanePositionSequence=[_item(ImagePositionPatient=["-190", "-190", str(number)])],
        PlaneOrientationSequence=[_item(ImageOrientationPatient=["1", "0", "0", "0", "1", "0"])],
        PixelMeasuresSequence=[_item(PixelSpacing=["0.74", "0.74"], SliceThickness="1")],
        FrameVOILUTSequence=[_item(WindowCenter="40", WindowWidth="400")],
    )
    source = _reference(CTImageStorage, f"{ROOT}.5.{case.number}.{number}")
    group.DerivationImageSequence = Items([_item(SourceImageSequence=Items([source]))])
    return group


def sr_header(case: Case) -> Dataset:
    """A structured report with a content tree of text, codes and references."""
    person = case.person
    header = _common_header(case)
    observer = _item(
        VerifyingOrganization=person.institution,
        VerificationDateTime=f"{STUDY_DATE}120000",
        VerifyingObserverName=f"{person.referrer}^Vera",
        VerifyingObserverIdentificationCodeSequence=Items([_code("V1", "99LOCAL", person.referrer)]),
    )
    _set(
        header,
        ValueType="CONTAINER",
        ConceptNameCodeSequence=[_code("126000", "DCM", "Imaging Measurement Report")],
        ContinuityOfContent="SEPARATE",
        CompletionFlag="COMPLETE",
        VerificationFlag="VERIFIED",
        VerifyingObserverSequence=[observer],
        CurrentRequestedProcedureEvidenceSequence=[_evidence(case)],
        ContentSequence=_content_tree(case),
    )
    return header


def _evidence(case: Case) -> Dataset:
    referenced = [_reference(CTImageStorage, f"{ROOT}.5.{case.number}.{n}") for n in (1, 2)]
    series = _item(SeriesInstanceUID=f"{ROOT}.5.{case.number}", ReferencedSOPSequence=Items(referenced))
    return _item(StudyInstanceUID=case.study_uid, ReferencedSeriesSequence=Items([series]))


def _content_tree(case: Case) -> list[Dataset]:
    person = case.person
    findings = _content("CONTAINS", "CONTAINER", _code("121070", "DCM", "Findings"), ContinuityOfContent="SEPARATE")
    findings.ContentSequence = Items(
        [
            _content("CONTAINS", "TEXT", _code("121071", "DCM", "Finding"), TextValue=f"{person.family}: Leber o.B."),
            _measurement("44.5"),
            _content(
                "CONTAINS",
                "IMAGE",
                _code("121191", "DCM", "Referenced Segment"),
                ReferencedSOPSequence=Items([_reference(CTImageStorage, f"{ROOT}.5.{case.number}.1")]),
            ),
        ]
    )
    return [
        _content(
            "HAS OBS CONTEXT", "PNAME", _code("121008", "DCM", "Person Observer Name"), PersonName=person.referrer
        ),
        _content("HAS OBS CONTEXT", "UIDREF", _code("121018", "DCM", "Procedure Study UID"), UID=case.study_uid),
        _content("HAS OBS CONTEXT", "DATE", _code("121031", "DCM", "Subject Birth Date"), Date=person.birth_date),
        _content("HAS OBS CONTEXT", "TEXT", _code("121030", "DCM", "Subject ID"), TextValue=person.patient_id),
        findings,
    ]


def _measurement(value: str) -> Dataset:
    measured = _item(NumericValue=value, MeasurementUnitsCodeSequence=Items([_code("mm", "UCUM", "millimeter")]))
    return _content("CONTAINS", "NUM", _code("G-D705", "SRT", "Length"), MeasuredValueSequence=Items([measured]))


def _content(relationship: str, value_type: str, concept: Dataset, **values: Any) -> Dataset:
    return _item(
        RelationshipType=relationship, ValueType=value_type, ConceptNameCodeSequence=Items([concept]), **values
    )
