"""Radiotherapy: structure set, plan, dose and image, which refer to one another and to the CT."""

from pydicom import Dataset
from pydicom.sequence import Sequence

from tests.corpus import pixels
from tests.corpus.modules import dataset, header, image, reference
from tests.corpus.planting import Case, Sort, uid
from tests.corpus.tomography import CT

_STORAGE = "1.2.840.10008.5.1.4.1.1.481"
RT_IMAGE, RT_DOSE, STRUCTURES, PLAN = f"{_STORAGE}.1", f"{_STORAGE}.2", f"{_STORAGE}.3", f"{_STORAGE}.5"


def structures(case: Case) -> Dataset:
    """A structure set drawn on the CT."""
    made = header(case, STRUCTURES, "RTSTRUCT")
    made.StructureSetLabel, made.StructureSetName = case.word(Sort.PROSE), case.word(Sort.PROSE)
    made.StructureSetDescription = case.prose()
    made.StructureSetDate, made.StructureSetTime = case.date(), case.time()
    made.FrameOfReferenceUID, made.PositionReferenceIndicator = case.frame_of_reference_uid, ""
    series = dataset(SeriesInstanceUID=uid("ct/series"), ContourImageSequence=[reference(CT, "ct")])
    study = dataset(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
        ReferencedSOPInstanceUID=case.study_uid,
        RTReferencedSeriesSequence=[series],
    )
    made.ReferencedFrameOfReferenceSequence = Sequence(
        [dataset(FrameOfReferenceUID=case.frame_of_reference_uid, RTReferencedStudySequence=[study])]
    )
    made.StructureSetROISequence = Sequence(
        [
            dataset(
                ROINumber=number,
                ReferencedFrameOfReferenceUID=case.frame_of_reference_uid,
                ROIName=f"Lung {case.word(Sort.PROSE)}",
                ROIDescription=case.prose(),
                ROIGenerationAlgorithm="MANUAL",
                ROIGenerationDescription=case.word(Sort.PROSE),
            )
            for number in (1, 2)
        ]
    )
    contour = dataset(
        ContourImageSequence=[reference(CT, "ct")],
        ContourGeometricType="CLOSED_PLANAR",
        NumberOfContourPoints=3,
        ContourData=["0", "0", "0", "1", "0", "0", "1", "1", "0"],
    )
    made.ROIContourSequence = Sequence(
        [dataset(ReferencedROINumber=1, ROIDisplayColor=[255, 0, 0], ContourSequence=[contour])]
    )
    made.RTROIObservationsSequence = Sequence(
        [
            dataset(
                ObservationNumber=number,
                ReferencedROINumber=number,
                ROIObservationLabel=case.word(Sort.PROSE)[:16],
                RTROIInterpretedType="ORGAN",
                ROIInterpreter=case.name(),
            )
            for number in (1, 2)
        ]
    )
    return made


def plan(case: Case) -> Dataset:
    """A treatment plan with one beam and one tolerance table."""
    made = header(case, PLAN, "RTPLAN")
    made.RTPlanLabel, made.RTPlanName = case.word(Sort.PROSE), case.word(Sort.PROSE)
    made.RTPlanDescription = case.prose()
    made.RTPlanDate, made.RTPlanTime, made.RTPlanGeometry = case.date(), case.time(), "PATIENT"
    made.PlanIntent = "CURATIVE"
    made.FrameOfReferenceUID, made.PositionReferenceIndicator = case.frame_of_reference_uid, ""
    made.ReferencedStructureSetSequence = Sequence([reference(STRUCTURES, "rt_structures")])
    made.DoseReferenceSequence = Sequence(
        [
            dataset(
                DoseReferenceNumber=1,
                DoseReferenceUID=case.uid("dose reference"),
                DoseReferenceStructureType="SITE",
                DoseReferenceDescription=case.word(Sort.PROSE),
                DoseReferenceType="TARGET",
            )
        ]
    )
    made.PrescriptionDescription = case.prose()
    made.PatientSetupSequence = Sequence(
        [dataset(PatientSetupNumber=1, PatientPosition="HFS", SetupTechniqueDescription=case.prose())]
    )
    beams = dataset(ReferencedBeamNumber=1, BeamMeterset="100", BeamDose="2")
    made.FractionGroupSequence = Sequence(
        [
            dataset(
                FractionGroupNumber=1,
                FractionGroupDescription=case.word(Sort.PROSE),
                NumberOfFractionsPlanned=30,
                NumberOfBeams=1,
                NumberOfBrachyApplicationSetups=0,
                ReferencedBeamSequence=[beams],
            )
        ]
    )
    made.BeamSequence = Sequence([_beam(case)])
    made.ApprovalStatus, made.ReviewDate, made.ReviewTime = "APPROVED", case.date(), case.time()
    made.ReviewerName = case.name()
    return made


def _beam(case: Case) -> Dataset:
    limits = [dataset(RTBeamLimitingDeviceType=axis, NumberOfLeafJawPairs=1) for axis in ("X", "Y")]
    positions = [dataset(RTBeamLimitingDeviceType=axis, LeafJawPositions=["-50", "50"]) for axis in ("X", "Y")]
    first = dataset(
        ControlPointIndex=0,
        NominalBeamEnergy="6",
        BeamLimitingDevicePositionSequence=positions,
        GantryAngle="0",
        GantryRotationDirection="NONE",
        BeamLimitingDeviceAngle="0",
        BeamLimitingDeviceRotationDirection="NONE",
        PatientSupportAngle="0",
        PatientSupportRotationDirection="NONE",
        TableTopEccentricAngle="0",
        TableTopEccentricRotationDirection="NONE",
        TableTopVerticalPosition="0",
        TableTopLongitudinalPosition="0",
        TableTopLateralPosition="0",
        IsocenterPosition=["0", "0", "0"],
        CumulativeMetersetWeight="0",
    )
    return dataset(
        Manufacturer="Wymaker",
        InstitutionName=case.word(Sort.INSTITUTION),
        DeviceSerialNumber=case.code("SN", Sort.DEVICE),
        TreatmentMachineName=case.word(Sort.DEVICE),
        PrimaryDosimeterUnit="MU",
        SourceAxisDistance="1000",
        BeamLimitingDeviceSequence=limits,
        BeamNumber=1,
        BeamName=case.word(Sort.PROSE),
        BeamDescription=case.prose(),
        BeamType="STATIC",
        RadiationType="PHOTON",
        TreatmentDeliveryType="TREATMENT",
        NumberOfWedges=0,
        NumberOfCompensators=0,
        NumberOfBoli=0,
        NumberOfBlocks=0,
        FinalCumulativeMetersetWeight="1",
        NumberOfControlPoints=2,
        ControlPointSequence=[first, dataset(ControlPointIndex=1, CumulativeMetersetWeight="1")],
    )


def dose(case: Case) -> Dataset:
    """A dose grid that refers to plan and structure set."""
    made = header(case, RT_DOSE, "RTDOSE")
    made.ContentDate, made.ContentTime = case.date(), case.time()
    made.FrameOfReferenceUID, made.PositionReferenceIndicator = case.frame_of_reference_uid, ""
    made.ImagePositionPatient, made.ImageOrientationPatient = ["0", "0", "0"], ["1", "0", "0", "0", "1", "0"]
    made.PixelSpacing, made.SliceThickness = ["2", "2"], "2"
    made.NumberOfFrames, made.GridFrameOffsetVector, made.FrameIncrementPointer = "2", ["0", "2"], 0x3004000C
    made.DoseUnits, made.DoseType, made.DoseSummationType, made.DoseGridScaling = "GY", "PHYSICAL", "PLAN", "0.001"
    made.DoseComment = case.brief()
    made.ReferencedRTPlanSequence = Sequence([reference(PLAN, "rt_plan")])
    made.ReferencedStructureSetSequence = Sequence([reference(STRUCTURES, "rt_structures")])
    made.DVHSequence = Sequence(
        [
            dataset(
                DVHReferencedROISequence=[dataset(DVHROIContributionType="INCLUDED", ReferencedROINumber=1)],
                DVHType="CUMULATIVE",
                DoseUnits="GY",
                DoseType="PHYSICAL",
                DVHDoseScaling="1",
                DVHVolumeUnits="CM3",
                DVHNumberOfBins=1,
                DVHData=["1", "1"],
            )
        ]
    )
    pixels.grey(made, case.number, frames=2, stored=16)
    return made


def portal(case: Case) -> Dataset:
    """An image taken through the treatment beam."""
    made = header(case, RT_IMAGE, "RTIMAGE", **image(case, "ORIGINAL", "PRIMARY", "PORTAL"))
    made.ConversionType, made.RTImageLabel = "DI", case.word(Sort.PROSE)
    made.RTImageName, made.RTImageDescription = case.word(Sort.PROSE), case.prose()
    made.RTImagePlane, made.XRayImageReceptorAngle = "NORMAL", "0"
    made.ImagePlanePixelSpacing, made.RTImagePosition = ["0.4", "0.4"], ["-3", "3"]
    made.RadiationMachineName, made.RadiationMachineSAD = case.word(Sort.DEVICE), "1000"
    made.RTImageSID, made.PrimaryDosimeterUnit, made.GantryAngle = "1500", "MU", "0"
    made.ReportedValuesOrigin, made.ReferencedBeamNumber = "OPERATOR", 1
    made.ReferencedRTPlanSequence = Sequence([reference(PLAN, "rt_plan")])
    pixels.grey(made, case.number, stored=16)
    return made
