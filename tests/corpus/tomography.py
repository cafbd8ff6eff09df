"""CT, MR, PET and nuclear medicine: single images and enhanced ones with functional groups."""

from pydicom import Dataset
from pydicom.sequence import Sequence

from tests.corpus import pixels
from tests.corpus.modules import add_private, code, dataset, header, image, plane, reference, referenced
from tests.corpus.planting import Case, Sort

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_CT, ENHANCED_MR = f"{CT}.1", f"{MR}.1"
PET, NM = "1.2.840.10008.5.1.4.1.1.128", "1.2.840.10008.5.1.4.1.1.20"
FRAMES = 3


def ct(case: Case) -> Dataset:
    """A CT image."""
    made = header(case, CT, "CT", **image(case), **plane(case))
    made.KVP, made.XRayTubeCurrent, made.ExposureTime, made.Exposure = "120", "200", "500", "100"
    made.ConvolutionKernel, made.GantryDetectorTilt, made.TableHeight = "B30f", "0", "150"
    made.ContrastBolusAgent = case.word(Sort.PROSE)
    made.IrradiationEventUID = case.uid("irradiation")
    made.RescaleIntercept, made.RescaleSlope, made.RescaleType = "-1024", "1", "HU"
    made.ScheduledProcedureStepStartDate, made.ScheduledProcedureStepStartTime = case.date(), case.time()
    made.ReferencedImageSequence = Sequence([reference(CT, case.kind)])
    pixels.grey(made, case.number)
    return made


def mr(case: Case) -> Dataset:
    """An MR image with Siemens-like sequence names."""
    made = header(case, MR, "MR", **image(case, "ORIGINAL", "PRIMARY", "M", "ND"), **plane(case))
    made.ScanningSequence, made.SequenceVariant, made.ScanOptions, made.MRAcquisitionType = "SE", "SK", "", "2D"
    made.SequenceName, made.RepetitionTime, made.EchoTime, made.EchoTrainLength = "*tse2d1_15", "3000", "90", "15"
    made.MagneticFieldStrength, made.FlipAngle, made.ImagedNucleus = "3", "150", "1H"
    made.ReceiveCoilName, made.TransmitCoilName = "HeadNeck_64", "Body"
    made.ReferencedImageSequence = Sequence([reference(CT, "ct")])
    pixels.grey(made, case.number)
    return made


def pet(case: Case) -> Dataset:
    """A PET image with the injected tracer's times."""
    made = header(case, PET, "PT", **image(case, "ORIGINAL", "PRIMARY"), **plane(case))
    del made.PatientPosition
    made.SeriesType, made.Units, made.CountsSource = ["STATIC", "IMAGE"], "BQML", "EMISSION"
    made.NumberOfSlices, made.ImageIndex, made.CorrectedImage = 1, 1, ["DECY"]
    made.DecayCorrection, made.CollimatorType = "START", "NONE"
    made.DecayFactor, made.FrameReferenceTime = "1", "0"
    made.ActualFrameDuration, made.RescaleIntercept, made.RescaleSlope = "60000", "0", "1"
    tracer = dataset(
        Radiopharmaceutical="FDG",
        RadiopharmaceuticalStartDateTime=case.date_time(),
        RadiopharmaceuticalStartTime=case.time(),
        RadionuclideTotalDose="300000000",
        RadiopharmaceuticalSpecificActivity="1",
        RadionuclideCodeSequence=[code("C-111A1", "SRT", "^18^Fluorine")],
        RadiopharmaceuticalCodeSequence=[code("C-B1031", "SRT", "Fluorodeoxyglucose F^18^")],
    )
    made.RadiopharmaceuticalInformationSequence = Sequence([tracer])
    made.PatientOrientationCodeSequence = Sequence([code("F-10450", "SRT", "recumbent")])
    made.PatientOrientationCodeSequence[0].PatientOrientationModifierCodeSequence = Sequence(
        [code("F-10340", "SRT", "supine")]
    )
    made.PatientGantryRelationshipCodeSequence = Sequence([code("F-10470", "SRT", "headfirst")])
    pixels.grey(made, case.number, stored=16)
    return made


def nm(case: Case) -> Dataset:
    """A nuclear medicine image of several frames."""
    made = header(case, NM, "NM", **image(case, "ORIGINAL", "PRIMARY", "STATIC", "EMISSION"))
    made.FrameIncrementPointer = [0x00540010, 0x00540020]
    made.NumberOfFrames, made.PixelSpacing = "2", ["4", "4"]
    made.EnergyWindowVector, made.DetectorVector = [1, 1], [1, 2]
    made.NumberOfEnergyWindows, made.NumberOfDetectors, made.CountsAccumulated = 1, 2, "1000"
    made.ActualFrameDuration = "60000"
    window = dataset(EnergyWindowLowerLimit="126", EnergyWindowUpperLimit="154")
    made.EnergyWindowInformationSequence = Sequence(
        [dataset(EnergyWindowName="Tc99m", EnergyWindowRangeSequence=[window])]
    )
    made.RadiopharmaceuticalInformationSequence = Sequence(
        [
            dataset(
                RadionuclideCodeSequence=[code("C-163A8", "SRT", "^99m^Technetium")],
                Radiopharmaceutical="Tc-99m",
                RadiopharmaceuticalStartTime=case.time(),
                RadiopharmaceuticalStartDateTime=case.date_time(),
            )
        ]
    )
    made.DetectorInformationSequence = Sequence([_detector("-4"), _detector("4")])
    made.PatientOrientationCodeSequence = Sequence([code("F-10450", "SRT", "recumbent")])
    made.PatientOrientationCodeSequence[0].PatientOrientationModifierCodeSequence = Sequence(
        [code("F-10340", "SRT", "supine")]
    )
    made.PatientGantryRelationshipCodeSequence = Sequence([code("F-10470", "SRT", "headfirst")])
    pixels.grey(made, case.number, frames=2, stored=16)
    return made


def _detector(position: str) -> Dataset:
    return dataset(
        CollimatorType="PARA",
        FocalDistance="0",
        ImagePositionPatient=[position, "-4", "0"],
        ImageOrientationPatient=["1", "0", "0", "0", "1", "0"],
    )


def enhanced_mr(case: Case) -> Dataset:
    """An enhanced MR image with prose, references and private blocks within its functional groups."""
    made = _enhanced(case, ENHANCED_MR, "MR", ("DERIVED", "PRIMARY", "ANATOMY", "NONE"))
    made.ResonantNucleus, made.KSpaceFiltering, made.ApplicableSafetyStandardAgency = "1H", "NONE", "IEC"
    made.MagneticFieldStrength = "3"
    made.AcquisitionContrast, made.ComplexImageComponent = "T1", "MAGNITUDE"
    shared = made.SharedFunctionalGroupsSequence[0]
    shared.MRTimingAndRelatedParametersSequence = Sequence(
        [
            dataset(
                RepetitionTime="3000",
                FlipAngle="90",
                EchoTrainLength="1",
                RFEchoTrainLength=0,
                GradientEchoTrainLength=1,
                SpecificAbsorptionRateSequence=[
                    dataset(SpecificAbsorptionRateDefinition="IEC_WHOLE_BODY", SpecificAbsorptionRateValue=1.0)
                ],
                GradientOutputType="DB_DT",
                GradientOutput=1.0,
                OperatingModeSequence=[
                    dataset(OperatingModeType="STATIC FIELD", OperatingMode="IEC_NORMAL"),
                ],
            )
        ]
    )
    shared.PixelValueTransformationSequence = Sequence(
        [dataset(RescaleIntercept="0", RescaleSlope="1", RescaleType="US")]
    )
    shared.MRImageFrameTypeSequence = Sequence(
        [
            dataset(
                FrameType=["DERIVED", "PRIMARY", "ANATOMY", "NONE"],
                PixelPresentation="MONOCHROME",
                VolumetricProperties="VOLUME",
                VolumeBasedCalculationTechnique="NONE",
                ComplexImageComponent="MAGNITUDE",
                AcquisitionContrast="T1",
            )
        ]
    )
    return made


def enhanced_ct(case: Case) -> Dataset:
    """An enhanced CT image."""
    made = _enhanced(case, ENHANCED_CT, "CT", ("DERIVED", "PRIMARY", "VOLUME", "NONE"))
    made.AcquisitionProtocolDescription = case.prose()
    shared = made.SharedFunctionalGroupsSequence[0]
    shared.CTImageFrameTypeSequence = Sequence(
        [
            dataset(
                FrameType=["DERIVED", "PRIMARY", "VOLUME", "NONE"],
                PixelPresentation="MONOCHROME",
                VolumetricProperties="VOLUME",
                VolumeBasedCalculationTechnique="NONE",
            )
        ]
    )
    shared.IrradiationEventIdentificationSequence = Sequence([dataset(IrradiationEventUID=case.uid("irradiation"))])
    shared.PixelValueTransformationSequence = Sequence(
        [dataset(RescaleIntercept="-1024", RescaleSlope="1", RescaleType="HU")]
    )
    return made


def _enhanced(case: Case, sop_class_uid: str, modality: str, image_type: tuple[str, ...]) -> Dataset:
    made = header(case, sop_class_uid, modality, **image(case, *image_type))
    del made.PatientOrientation, made.WindowCenter, made.WindowWidth, made.AcquisitionDate, made.AcquisitionTime
    made.FrameOfReferenceUID, made.PositionReferenceIndicator = case.frame_of_reference_uid, ""
    made.AcquisitionDateTime, made.AcquisitionDuration = case.date_time(), 12.5
    made.PixelPresentation, made.VolumetricProperties = "MONOCHROME", "VOLUME"
    made.VolumeBasedCalculationTechnique, made.BurnedInAnnotation = "NONE", "NO"
    made.ContentQualification, made.PresentationLUTShape = "PRODUCT", "IDENTITY"
    made.NumberOfFrames, made.ConcatenationUID, made.InConcatenationNumber = str(FRAMES), case.uid("chain"), 1
    made.SOPInstanceUIDOfConcatenationSource = case.uid("source")
    made.ConcatenationFrameOffsetNumber = 0
    made.InConcatenationTotalNumber = 2
    made.PatientPosition = "HFS"
    made.ReferencedImageEvidenceSequence = Sequence(referenced([(CT, "ct")], case.study))
    made.AcquisitionContextSequence = Sequence([_context(case)])
    made.DimensionOrganizationSequence = Sequence([dataset(DimensionOrganizationUID=case.uid("dimension"))])
    made.DimensionIndexSequence = Sequence(
        [
            dataset(
                DimensionOrganizationUID=case.uid("dimension"),
                DimensionIndexPointer=0x00209057,
                FunctionalGroupPointer=0x00209111,
                DimensionDescriptionLabel=case.word(Sort.PROSE),
            )
        ]
    )
    made.SharedFunctionalGroupsSequence = Sequence([_shared(case)])
    made.PerFrameFunctionalGroupsSequence = Sequence([_frame(case, number) for number in range(FRAMES)])
    pixels.grey(made, case.number, frames=FRAMES)
    return made


def _context(case: Case) -> Dataset:
    """An item of the acquisition context that is free text."""
    return dataset(
        ValueType="TEXT",
        ConceptNameCodeSequence=[code("109054", "DCM", "Patient State")],
        TextValue=case.prose(),
    )


def _shared(case: Case) -> Dataset:
    made = dataset(
        PixelMeasuresSequence=[dataset(PixelSpacing=["0.5", "0.5"], SliceThickness="5")],
        PlaneOrientationSequence=[dataset(ImageOrientationPatient=["1", "0", "0", "0", "1", "0"])],
        FrameVOILUTSequence=[dataset(WindowCenter="40", WindowWidth="400")],
        ReferencedImageSequence=[_localizer()],
        FrameAnatomySequence=[dataset(FrameLaterality="U", AnatomicRegionSequence=[code("T-D3000", "SRT", "Chest")])],
    )
    add_private(made, case)
    return made


def _localizer() -> Dataset:
    made = reference(CT, "ct")
    made.PurposeOfReferenceCodeSequence = Sequence([code("121311", "DCM", "Localizer")])
    return made


def _frame(case: Case, number: int) -> Dataset:
    made = dataset(
        FrameContentSequence=[
            dataset(
                FrameAcquisitionNumber=1,
                FrameReferenceDateTime=case.date_time(),
                FrameAcquisitionDateTime=case.date_time(),
                FrameAcquisitionDuration=1.0,
                StackID="1",
                InStackPositionNumber=number + 1,
                DimensionIndexValues=[number + 1],
                FrameComments=case.prose(),
                FrameLabel=case.word(Sort.PROSE),
            )
        ],
        PlanePositionSequence=[dataset(ImagePositionPatient=["-4", "-4", f"{number * 5}"])],
    )
    add_private(made, case, nested=False)
    return made
