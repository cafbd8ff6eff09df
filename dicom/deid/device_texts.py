"""Attributes outside table E.1-1 whose text devices and vocabularies write, not people; it is kept as it is.

Every other text (VR LO, SH, UC) outside the table is cleaned, or becomes a dummy.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DEVICE_TEXTS = _words(
    """
    AcquisitionDeviceProcessingCode AlgorithmName AlgorithmVersion AttenuationCorrectionMethod
    CardiacFramingType CodingSchemeDesignator CodingSchemeRegistry CodingSchemeVersion
    CollimatorGridName ContrastBolusRoute ConvolutionKernel DataSetSubtype DetectorLinesOfResponseUsed
    DetectorManufacturerModelName DetectorManufacturerName DeidentificationMethod DigitalImageFormatAcquired
    EnergyWindowName FilterType ImageGeometryType ImagedNucleus MIMETypeOfEncapsulatedDocument
    ModalityLUTType Manufacturer ManufacturerModelName MappingResourceName MultiCoilConfiguration
    MultiCoilElementName OpticalPathIdentifier OutputPower PVCRejection PhosphorType PlateType
    PostprocessingFunction ProcessingFunction PulseSequenceName Radionuclide Radiopharmaceutical
    RadiopharmaceuticalRoute ReceiveCoilManufacturerName ReceiveCoilName ReconstructionMethod
    ReferencedOpticalPathIdentifier RescaleType ScatterCorrectionMethod SecondaryCaptureDeviceManufacturer
    SecondaryCaptureDeviceManufacturerModelName SecondaryCaptureDeviceSoftwareVersions SegmentAlgorithmName
    SequenceName SoftwareVersions SourceIsotopeName StackID TimeSource TransmitCoilManufacturerName
    TransmitCoilName TriggerSourceOrType TypeOfFilters VideoImageFormatAcquired WedgeMaterial
    WindowCenterWidthExplanation
    """
)
"""Keywords, each of which a person has looked at."""
