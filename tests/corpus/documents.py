"""What refers to images or tells about them: reports, key objects, presentation states, segmentations, documents."""

from pydicom import Dataset
from pydicom.sequence import Sequence

from tests.corpus import pixels
from tests.corpus.modules import code, dataset, header, image, local_code, reference, referenced
from tests.corpus.planting import Case, Sort, uid
from tests.corpus.tomography import CT, MR, PET

REPORT, KEY_OBJECT = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.88.59"
PRESENTATION, SEGMENTATION = "1.2.840.10008.5.1.4.1.1.11.1", "1.2.840.10008.5.1.4.1.1.66.4"
PDF, ECG = "1.2.840.10008.5.1.4.1.1.104.1", "1.2.840.10008.5.1.4.1.1.9.1.1"
_BIRTH_DATE, _FINDING = code("121031", "DCM", "Subject Birth Date"), code("121071", "DCM", "Finding")


def report(case: Case) -> Dataset:
    """A comprehensive report with content items of every value type that can name somebody."""
    made = header(case, REPORT, "SR")
    made.ContentDate, made.ContentTime = case.date(), case.time()
    made.ReferencedPerformedProcedureStepSequence = Sequence([_step(case)])
    made.CompletionFlag, made.VerificationFlag = "COMPLETE", "VERIFIED"
    made.VerifyingObserverSequence = Sequence([_verifying_observer(case)])
    made.AuthorObserverSequence = Sequence([_author(case)])
    made.ParticipantSequence = Sequence([_participant(case)])
    made.ReferencedRequestSequence = Sequence([_request(case)])
    made.PerformedProcedureCodeSequence = Sequence([code("24627-2", "LN", "CT Chest"), local_code(case)])
    made.CurrentRequestedProcedureEvidenceSequence = Sequence(referenced([(CT, "ct"), (MR, "mr")], case.study))
    made.ValueType, made.ContinuityOfContent = "CONTAINER", "SEPARATE"
    made.ConceptNameCodeSequence = Sequence([code("11528-7", "LN", "Radiology Report")])
    made.ContentTemplateSequence = Sequence([dataset(MappingResource="DCMR", TemplateIdentifier="2000")])
    made.ContentSequence = Sequence(_content(case))
    return made


def _step(case: Case) -> Dataset:
    return dataset(ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.3", ReferencedSOPInstanceUID=case.uid("step"))


def _verifying_observer(case: Case) -> Dataset:
    return dataset(
        VerifyingObserverName=case.name(),
        VerifyingObserverIdentificationCodeSequence=[local_code(case)],
        VerifyingOrganization=case.word(Sort.INSTITUTION),
        VerificationDateTime=case.date_time(),
    )


def _author(case: Case) -> Dataset:
    return dataset(
        ObserverType="PSN",
        PersonName=case.name(),
        PersonIdentificationCodeSequence=[local_code(case)],
        InstitutionName=case.word(Sort.INSTITUTION),
        InstitutionCodeSequence=[],
    )


def _participant(case: Case) -> Dataset:
    return dataset(
        ObserverType="PSN",
        PersonName=case.name(),
        PersonIdentificationCodeSequence=[],
        ParticipationType="ENT",
        ParticipationDateTime=case.date_time(),
        InstitutionName=case.word(Sort.INSTITUTION),
        InstitutionCodeSequence=[],
    )


def _request(case: Case) -> Dataset:
    return dataset(
        StudyInstanceUID=case.study_uid,
        ReferencedStudySequence=[],
        AccessionNumber=case.code("A"),
        PlacerOrderNumberImagingServiceRequest=case.code("PO"),
        FillerOrderNumberImagingServiceRequest=case.code("FO"),
        RequestedProcedureID=case.code("RP"),
        RequestedProcedureDescription=case.word(Sort.PROSE),
        RequestedProcedureCodeSequence=[],
        ReasonForTheRequestedProcedure=case.brief(),
        RequestingPhysician=case.name(),
        RequestingService=case.word(Sort.INSTITUTION),
    )


def _item(kind: str, value_type: str, concept: Dataset, **values: object) -> Dataset:
    return dataset(RelationshipType=kind, ValueType=value_type, ConceptNameCodeSequence=[concept], **values)


def _content(case: Case) -> list[Dataset]:
    numbers = dataset(
        NumericValue="12.5", MeasurementUnitsCodeSequence=[code("mm", "UCUM", "mm")], FloatingPointValue=12.5
    )
    image_item = dataset(RelationshipType="CONTAINS", ValueType="IMAGE", ReferencedSOPSequence=[reference(CT, "ct")])
    context = [
        _item("HAS OBS CONTEXT", "PNAME", code("121008", "DCM", "Person Observer Name"), PersonName=case.name()),
        _item("HAS OBS CONTEXT", "UIDREF", code("121012", "DCM", "Device Observer UID"), UID=case.uid("observer")),
        _item("HAS OBS CONTEXT", "UIDREF", code("121018", "DCM", "Procedure Study Instance UID"), UID=case.study_uid),
        _item("HAS OBS CONTEXT", "PNAME", code("121029", "DCM", "Subject Name"), PersonName=case.patient.name),
        _item("HAS OBS CONTEXT", "TEXT", code("121030", "DCM", "Subject ID"), TextValue=case.patient.patient_id),
        _item("HAS OBS CONTEXT", "DATE", _BIRTH_DATE, Date=f"{case.patient.birth:%Y%m%d}"),
    ]
    inner = [
        _item("CONTAINS", "TEXT", _FINDING, TextValue=case.prose()),
        _item("CONTAINS", "DATE", code("111060", "DCM", "Study Date"), Date=f"{case.study_date:%Y%m%d}"),
        _item("CONTAINS", "TIME", code("111061", "DCM", "Study Time"), Time=case.time()),
        _item("CONTAINS", "DATETIME", code("111526", "DCM", "DateTime Started"), DateTime=case.date_time()),
        _item("CONTAINS", "NUM", code("121207", "DCM", "Height"), MeasuredValueSequence=[numbers]),
        _item("CONTAINS", "CODE", _FINDING, ConceptCodeSequence=[code("M-80003", "SRT", "Neoplasm")]),
        _item("CONTAINS", "CODE", _FINDING, ConceptCodeSequence=[local_code(case)]),
        _item("CONTAINS", "TEXT", local_code(case), TextValue=case.word(Sort.PROSE)),
        image_item,
    ]
    section = _item("CONTAINS", "CONTAINER", code("121070", "DCM", "Findings"), ContinuityOfContent="SEPARATE")
    section.ContentSequence = Sequence(inner)
    return [*context, section]


def key_object(case: Case) -> Dataset:
    """A key object selection of CT, MR and PET, with a remark."""
    chosen = [(CT, "ct"), (MR, "mr"), (PET, "pet")]
    made = header(case, KEY_OBJECT, "KO")
    del made.RequestAttributesSequence
    made.ContentDate, made.ContentTime = case.date(), case.time()
    made.ReferencedPerformedProcedureStepSequence = Sequence([_step(case)])
    made.ReferencedRequestSequence = Sequence([_request(case)])
    made.CurrentRequestedProcedureEvidenceSequence = Sequence(referenced(chosen, case.study))
    made.ValueType, made.ContinuityOfContent = "CONTAINER", "SEPARATE"
    made.ConceptNameCodeSequence = Sequence([code("113000", "DCM", "Of Interest")])
    made.ContentTemplateSequence = Sequence([dataset(MappingResource="DCMR", TemplateIdentifier="2010")])
    remark = _item("CONTAINS", "TEXT", code("113012", "DCM", "Key Object Description"), TextValue=case.prose())
    images = [
        dataset(RelationshipType="CONTAINS", ValueType="IMAGE", ReferencedSOPSequence=[reference(*each)])
        for each in chosen
    ]
    made.ContentSequence = Sequence([remark, *images])
    return made


def presentation_state(case: Case) -> Dataset:
    """A grayscale presentation state that writes on the CT: text objects, a drawn line, a named layer."""
    made = header(case, PRESENTATION, "PR")
    made.PresentationCreationDate, made.PresentationCreationTime = case.date(), case.time()
    made.ContentLabel, made.ContentDescription = case.word(Sort.GRAPHIC).upper(), case.brief()
    made.ContentCreatorName = case.name()
    made.ReferencedSeriesSequence = Sequence(
        [dataset(SeriesInstanceUID=uid("ct/series"), ReferencedImageSequence=[reference(CT, "ct")])]
    )
    layer = case.word(Sort.GRAPHIC).upper()
    made.GraphicLayerSequence = Sequence(
        [dataset(GraphicLayer=layer, GraphicLayerOrder=1, GraphicLayerDescription=case.word(Sort.GRAPHIC))]
    )
    made.GraphicAnnotationSequence = Sequence(
        [
            dataset(
                ReferencedImageSequence=[reference(CT, "ct")],
                GraphicLayer=layer,
                TextObjectSequence=[
                    dataset(
                        UnformattedTextValue=case.prose(),
                        AnchorPoint=[1.0, 1.0],
                        AnchorPointVisibility="N",
                        AnchorPointAnnotationUnits="PIXEL",
                    )
                ],
                GraphicObjectSequence=[
                    dataset(
                        GraphicAnnotationUnits="PIXEL",
                        GraphicDimensions=2,
                        NumberOfGraphicPoints=2,
                        GraphicData=[1.0, 1.0, 5.0, 5.0],
                        GraphicType="POLYLINE",
                        GraphicFilled="N",
                    )
                ],
            )
        ]
    )
    made.DisplayedAreaSelectionSequence = Sequence(
        [
            dataset(
                ReferencedImageSequence=[reference(CT, "ct")],
                DisplayedAreaTopLeftHandCorner=[1, 1],
                DisplayedAreaBottomRightHandCorner=[32, 32],
                PresentationSizeMode="SCALE TO FIT",
                PresentationPixelAspectRatio=["1", "1"],
            )
        ]
    )
    made.SoftcopyVOILUTSequence = Sequence([dataset(WindowCenter="40", WindowWidth="400")])
    made.PresentationLUTShape = "IDENTITY"
    return made


def segmentation(case: Case) -> Dataset:
    """A segmentation of the CT, with a segment that somebody has named after the patient."""
    made = header(case, SEGMENTATION, "SEG", **image(case, "DERIVED", "PRIMARY"))
    del made.PatientOrientation, made.WindowCenter, made.WindowWidth
    del made.AcquisitionDate, made.AcquisitionTime
    made.ContentLabel, made.ContentDescription = case.word(Sort.GRAPHIC).upper(), case.brief()
    made.ContentCreatorName = case.name()
    made.SegmentationType, made.NumberOfFrames, made.LossyImageCompression = "BINARY", "1", "00"
    made.FrameOfReferenceUID, made.PositionReferenceIndicator = case.frame_of_reference_uid, ""
    made.SegmentsOverlap = "NO"
    made.SegmentSequence = Sequence([_segment(case)])
    made.ReferencedSeriesSequence = Sequence(
        [dataset(SeriesInstanceUID=uid("ct/series"), ReferencedInstanceSequence=[reference(CT, "ct")])]
    )
    made.DimensionOrganizationSequence = Sequence([dataset(DimensionOrganizationUID=case.uid("dimension"))])
    made.DimensionIndexSequence = Sequence(
        [
            dataset(
                DimensionOrganizationUID=case.uid("dimension"),
                DimensionIndexPointer=0x0062000B,
                FunctionalGroupPointer=0x0062000A,
            )
        ]
    )
    made.SharedFunctionalGroupsSequence = Sequence(
        [
            dataset(
                PixelMeasuresSequence=[dataset(PixelSpacing=["0.5", "0.5"], SliceThickness="5")],
                PlaneOrientationSequence=[dataset(ImageOrientationPatient=["1", "0", "0", "0", "1", "0"])],
            )
        ]
    )
    made.PerFrameFunctionalGroupsSequence = Sequence([_segmented_frame()])
    pixels.describe(made, pixels.SIZE, pixels.SIZE, stored=1, allocated=1)
    pixels.put(made, pixels.noise(case.number, pixels.SIZE * pixels.SIZE // 8, bits=8, kind="u1"))
    return made


def _segment(case: Case) -> Dataset:
    return dataset(
        SegmentNumber=1,
        SegmentLabel=f"Lung {case.word(Sort.PROSE)}",
        SegmentDescription=case.prose(),
        SegmentAlgorithmType="MANUAL",
        SegmentedPropertyCategoryCodeSequence=[code("T-D0050", "SRT", "Tissue")],
        SegmentedPropertyTypeCodeSequence=[code("T-28000", "SRT", "Lung")],
        TrackingID=case.word(Sort.PROSE),
        TrackingUID=case.uid("tracking"),
    )


def _segmented_frame() -> Dataset:
    purpose = [code("121322", "DCM", "Source image for image processing operation")]
    source = reference(CT, "ct")
    source.PurposeOfReferenceCodeSequence = Sequence(purpose)
    derivation = [code("113076", "DCM", "Segmentation")]
    return dataset(
        DerivationImageSequence=[dataset(SourceImageSequence=[source], DerivationCodeSequence=derivation)],
        FrameContentSequence=[dataset(DimensionIndexValues=[1])],
        PlanePositionSequence=[dataset(ImagePositionPatient=["-4", "-4", "0"])],
        SegmentIdentificationSequence=[dataset(ReferencedSegmentNumber=1)],
    )


def pdf(case: Case) -> Dataset:
    """An encapsulated PDF whose text is a letter about the patient."""
    made = header(case, PDF, "DOC")
    made.ConversionType, made.ContentDate, made.ContentTime = "WSD", case.date(), case.time()
    made.AcquisitionDateTime, made.BurnedInAnnotation = case.date_time(), "NO"
    made.DocumentTitle = case.word(Sort.PROSE)
    made.ConceptNameCodeSequence = Sequence([])
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    text = f"%PDF-1.4\n1 0 obj\n<< /Title ({case.name()}) /Subject ({case.prose()}) >>\nendobj\n%%EOF\n".encode()
    made.EncapsulatedDocumentLength = len(text)
    made.add_new(0x00420011, "OB", text + b"\0" * (len(text) % 2))
    return made


def ecg(case: Case) -> Dataset:
    """A short electrocardiogram with a remark."""
    made = header(case, ECG, "ECG")
    made.ContentDate, made.ContentTime = case.date(), case.time()
    made.AcquisitionDateTime = case.date_time()
    made.AcquisitionContextSequence = Sequence([])
    channel = dataset(
        ChannelLabel=case.word(Sort.PROSE),
        ChannelSourceSequence=[code("2:1", "MDC", "Lead I")],
        WaveformBitsStored=16,
        ChannelSensitivity="1",
        ChannelSensitivityUnitsSequence=[code("uV", "UCUM", "microvolt")],
        ChannelSensitivityCorrectionFactor="1",
        ChannelBaseline="0",
        ChannelTimeSkew="0",
    )
    group = dataset(
        MultiplexGroupLabel=case.word(Sort.PROSE),
        WaveformOriginality="ORIGINAL",
        NumberOfWaveformChannels=1,
        NumberOfWaveformSamples=8,
        SamplingFrequency="500",
        ChannelDefinitionSequence=[channel],
        WaveformBitsAllocated=16,
        WaveformSampleInterpretation="SS",
    )
    group.add_new(0x54001010, "OW", pixels.noise(case.number, 8).tobytes())
    made.WaveformSequence = Sequence([group])
    made.WaveformAnnotationSequence = Sequence(
        [dataset(UnformattedTextValue=case.prose(), ReferencedWaveformChannels=[1, 0], AnnotationGroupNumber=1)]
    )
    return made
