"""Radiographs, angiography, ultrasound, visible light and secondary captures."""

from pydicom import Dataset
from pydicom.sequence import Sequence

from tests.corpus import pixels
from tests.corpus.modules import code, dataset, header, image, reference
from tests.corpus.planting import Case, Sort

_STORAGE = "1.2.840.10008.5.1.4.1.1"
CR, DX, MG, XA = f"{_STORAGE}.1", f"{_STORAGE}.1.1", f"{_STORAGE}.1.2", f"{_STORAGE}.12.1"
US, US_FRAMES, SECONDARY_CAPTURE = f"{_STORAGE}.6.1", f"{_STORAGE}.3.1", f"{_STORAGE}.7"
PHOTO, WHOLE_SLIDE = f"{_STORAGE}.77.1.4", f"{_STORAGE}.77.1.6"
REGION = (4, 8, 27, 29)
"""Left, top, right and bottom of the ultrasound image proper, in pixels, the last ones included."""


def cr(case: Case) -> Dataset:
    """A computed radiograph, whose plate has a number."""
    made = header(case, CR, "CR", **image(case, "ORIGINAL", "PRIMARY"))
    made.ViewPosition = "PA"
    made.PlateID, made.CassetteID = case.word(Sort.DEVICE), case.word(Sort.DEVICE)
    made.AcquisitionDeviceProcessingDescription = case.word(Sort.PROSE)
    pixels.grey(made, case.number)
    return made


def dx(case: Case) -> Dataset:
    """A digital radiograph in JPEG baseline."""
    made = _detector_image(case, DX, "DX")
    made.LossyImageCompression, made.LossyImageCompressionRatio = "01", "10"
    made.LossyImageCompressionMethod = "ISO_10918_1"
    pixels.describe(made, pixels.SIZE, pixels.SIZE, stored=8, allocated=8)
    pixels.put_jpeg(made, case.number)
    return made


def mg(case: Case) -> Dataset:
    """A mammogram."""
    made = _detector_image(case, MG, "MG")
    made.PositionerType, made.OrganExposed, made.BodyPartExamined = "MAMMOGRAPHIC", "BREAST", "BREAST"
    made.PatientOrientation, made.ImageLaterality = ["A", "R"], "L"
    made.PartialView, made.BreastImplantPresent = "NO", "NO"
    made.FilterMaterial, made.AnodeTargetMaterial = "RHODIUM", "RHODIUM"
    made.AnatomicRegionSequence = Sequence([code("T-04000", "SRT", "Breast")])
    made.ViewCodeSequence = Sequence([code("R-10226", "SRT", "medio-lateral oblique")])
    made.ViewCodeSequence[0].ViewModifierCodeSequence = Sequence([])
    pixels.describe(made, pixels.SIZE, pixels.SIZE)
    pixels.put(made, pixels.noise(case.number))
    return made


def _detector_image(case: Case, sop_class_uid: str, modality: str) -> Dataset:
    made = header(case, sop_class_uid, modality, **image(case, "ORIGINAL", "PRIMARY", ""))
    made.PresentationIntentType, made.PixelIntensityRelationship = "FOR PRESENTATION", "LOG"
    made.PixelIntensityRelationshipSign, made.PresentationLUTShape = 1, "IDENTITY"
    made.BurnedInAnnotation, made.RescaleIntercept, made.RescaleSlope = "NO", "0", "1"
    made.RescaleType, made.ImageLaterality = "US", "U"
    made.DetectorType, made.DetectorID = "DIRECT", case.word(Sort.DEVICE)
    made.DateOfLastDetectorCalibration, made.TimeOfLastDetectorCalibration = case.date(), case.time()
    made.ImagerPixelSpacing = ["0.1", "0.1"]
    made.AnatomicRegionSequence = Sequence([code("T-D3000", "SRT", "Chest")])
    made.AcquisitionContextSequence = Sequence([])
    made.ViewPosition, made.PositionerType = "PA", "NONE"
    made.ViewCodeSequence = Sequence([code("R-10214", "SRT", "postero-anterior")])
    return made


def xa(case: Case) -> Dataset:
    """An angiographic run with frames' times."""
    made = header(case, XA, "XA", **image(case, "ORIGINAL", "PRIMARY", "SINGLE PLANE"))
    made.NumberOfFrames, made.FrameTime, made.FrameIncrementPointer = "2", "66", 0x00181063
    made.PixelIntensityRelationship, made.RadiationSetting, made.KVP = "LIN", "GR", "80"
    made.XRayTubeCurrent, made.ExposureTime, made.PositionerMotion = "100", "5", "STATIC"
    made.PositionerPrimaryAngle, made.PositionerSecondaryAngle = "0", "0"
    made.AcquisitionDateTime = case.date_time()
    pixels.grey(made, case.number, frames=2, stored=10)
    return made


def us(case: Case) -> Dataset:
    """An ultrasound picture without regions, nor a word about burned-in text."""
    made = header(case, US, "US", **image(case, "ORIGINAL", "PRIMARY", "ABDOMINAL", "0001"))
    made.TransducerData = [case.word(Sort.DEVICE), "", ""]
    pixels.colour(made, case.number)
    return made


def us_frames(case: Case) -> Dataset:
    """An ultrasound loop: the name is written above the region that shows the patient."""
    made = header(case, US_FRAMES, "US", **image(case, "ORIGINAL", "PRIMARY", "ABDOMINAL", "0001"))
    made.NumberOfFrames, made.FrameTime, made.FrameIncrementPointer = "2", "33", 0x00181063
    left, top, right, bottom = REGION
    made.SequenceOfUltrasoundRegions = Sequence(
        [
            dataset(
                RegionSpatialFormat=1,
                RegionDataType=1,
                RegionFlags=0,
                RegionLocationMinX0=left,
                RegionLocationMinY0=top,
                RegionLocationMaxX1=right,
                RegionLocationMaxY1=bottom,
                PhysicalUnitsXDirection=3,
                PhysicalUnitsYDirection=3,
                PhysicalDeltaX=0.05,
                PhysicalDeltaY=0.05,
            )
        ]
    )
    pixels.colour(made, case.number, frames=2)
    return made


def secondary_capture(case: Case) -> Dataset:
    """A scanned sheet that says nothing about burned-in text."""
    made = header(case, SECONDARY_CAPTURE, "OT", **image(case, "DERIVED", "SECONDARY"))
    made.ConversionType, made.DateOfSecondaryCapture, made.TimeOfSecondaryCapture = "SD", case.date(), case.time()
    made.SecondaryCaptureDeviceID = case.word(Sort.DEVICE)
    made.SecondaryCaptureDeviceManufacturer = "Wymaker"
    pixels.colour(made, case.number)
    return made


def declared_capture(case: Case) -> Dataset:
    """A secondary capture that denies burned-in text."""
    made = secondary_capture(case)
    made.ConversionType, made.BurnedInAnnotation = "WSD", "NO"
    return made


def photo(case: Case) -> Dataset:
    """A photograph, with the camera's notes about owner and place."""
    made = header(case, PHOTO, "XC", **image(case, "ORIGINAL", "PRIMARY"))
    made.AcquisitionContextSequence = Sequence([])
    made.AnatomicRegionSequence = Sequence([code("T-01000", "SRT", "Skin")])
    made.CameraOwnerName, made.MakerNote = case.word(Sort.PERSON), case.word(Sort.DEVICE).encode()
    made.GPSLatitudeRef, made.GPSLatitude = "N", [49, 25, 1.5]
    made.GPSSatellites, made.GPSDateStamp = case.word(Sort.CONTACT), case.date()
    made.LensSerialNumber = case.word(Sort.DEVICE)
    pixels.colour(made, case.number)
    return made


def whole_slide(case: Case) -> Dataset:
    """A tile of a whole slide image, with the label's text and barcode."""
    made = header(case, WHOLE_SLIDE, "SM", **image(case, "ORIGINAL", "PRIMARY", "VOLUME", "NONE"))
    del made.WindowCenter, made.WindowWidth, made.PatientOrientation
    made.AcquisitionDateTime, made.NumberOfFrames = case.date_time(), "1"
    made.FrameOfReferenceUID, made.PositionReferenceIndicator = case.frame_of_reference_uid, "SLIDE_CORNER"
    made.BurnedInAnnotation, made.SpecimenLabelInImage, made.FocusMethod = "NO", "NO", "AUTO"
    made.ExtendedDepthOfField, made.VolumetricProperties = "NO", "VOLUME"
    made.ImagedVolumeWidth, made.ImagedVolumeHeight, made.ImagedVolumeDepth = 1.0, 1.0, 1.0
    made.TotalPixelMatrixColumns = made.TotalPixelMatrixRows = pixels.SIZE
    made.TotalPixelMatrixOriginSequence = Sequence(
        [dataset(XOffsetInSlideCoordinateSystem="0", YOffsetInSlideCoordinateSystem="0")]
    )
    made.ImageOrientationSlide = ["0", "-1", "0", "-1", "0", "0"]
    made.DimensionOrganizationType = "TILED_FULL"
    made.DimensionOrganizationSequence = Sequence([dataset(DimensionOrganizationUID=case.uid("dimension"))])
    made.TotalPixelMatrixFocalPlanes, made.NumberOfOpticalPaths = 1, 1
    made.BarcodeValue, made.LabelText = case.word(Sort.IDENTIFIER), case.prose()
    made.AcquisitionContextSequence = Sequence([])
    _add_specimen(made, case)
    made.OpticalPathSequence = Sequence(
        [
            dataset(
                OpticalPathIdentifier="1",
                IlluminationTypeCodeSequence=[code("111744", "DCM", "Brightfield illumination")],
                IlluminationColorCodeSequence=[code("11744", "DCM", "Full Spectrum")],
                ICCProfile=b"\0" * 128,
            )
        ]
    )
    measures = dataset(PixelSpacing=["0.001", "0.001"], SliceThickness="0.001")
    kind = dataset(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])
    made.SharedFunctionalGroupsSequence = Sequence(
        [dataset(PixelMeasuresSequence=[measures], WholeSlideMicroscopyImageFrameTypeSequence=[kind])]
    )
    pixels.colour(made, case.number)
    return made


def _add_specimen(made: Dataset, case: Case) -> None:
    made.ContainerIdentifier = case.word(Sort.IDENTIFIER)
    made.IssuerOfTheContainerIdentifierSequence = Sequence([])
    made.ContainerTypeCodeSequence = Sequence([code("433466003", "SCT", "Microscope slide")])
    made.SpecimenDescriptionSequence = Sequence(
        [
            dataset(
                SpecimenIdentifier=case.word(Sort.IDENTIFIER),
                IssuerOfTheSpecimenIdentifierSequence=[],
                SpecimenUID=case.uid("specimen"),
                SpecimenShortDescription=case.word(Sort.PROSE),
                SpecimenDetailedDescription=case.prose(),
                SpecimenPreparationSequence=[],
            )
        ]
    )


def burned_in(case: Case) -> Dataset:
    """A radiograph that declares text within its pixels."""
    made = cr(case)
    made.BurnedInAnnotation = "YES"
    return made


def linked_radiograph(case: Case) -> Dataset:
    """A radiograph that refers to the one before."""
    made = cr(case)
    made.SourceImageSequence = Sequence([reference(CR, "cr_deflated")])
    return made
