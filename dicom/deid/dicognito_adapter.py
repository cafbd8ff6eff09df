"""Stand-ins for names, identifiers, addresses and institutions, invented by dicognito's own anonymizers.

This is the only module that knows dicognito. Its source of numbers, MD5 of seed and value, is replaced by the linkage
key, with a domain of its own for each kind.
"""

from collections.abc import Mapping
from types import MappingProxyType

from dicognito.addressanonymizer import AddressAnonymizer
from dicognito.element_anonymizer import ElementAnonymizer
from dicognito.equipmentanonymizer import EquipmentAnonymizer
from dicognito.idanonymizer import IDAnonymizer
from dicognito.pnanonymizer import PNAnonymizer
from dicognito.randomizer import Randomizer
from pydicom import Dataset
from pydicom.config import IGNORE
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement

from dicom.deid.keys import LinkageKey
from dicom.deid.profile import StandIn

_ID_KEYWORDS = (
    "AccessionNumber",
    "OtherPatientIDs",
    "FillerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequestRetired",
    "FillerOrderNumberProcedure",
    "PatientID",
    "PerformedProcedureStepID",
    "PlacerOrderNumberImagingServiceRequest",
    "PlacerOrderNumberImagingServiceRequestRetired",
    "PlacerOrderNumberProcedure",
    "RequestedProcedureID",
    "ScheduledProcedureStepID",
    "StationName",
    "StudyID",
)
_ADDRESS_KEYWORDS = ("PatientAddress", "RegionOfResidence", "CountryOfResidence")
_PLACE_KEYWORDS = ("InstitutionName", "InstitutionalDepartmentName")


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise LookupError(keyword)
    return int(tag)


STAND_IN_TAGS: Mapping[StandIn, frozenset[int]] = MappingProxyType(
    {
        StandIn.NAMES: frozenset[int](),
        StandIn.IDENTIFIERS: frozenset(map(_tag, _ID_KEYWORDS)),
        StandIn.ADDRESSES: frozenset(map(_tag, _ADDRESS_KEYWORDS)),
        StandIn.INSTITUTIONS: frozenset(map(_tag, _PLACE_KEYWORDS)),
    }
)
"""Tags of attributes for which there is a stand-in; person names get one by their VR."""


class KeyedRandomizer(Randomizer):
    """dicognito's source of numbers, drawn from the linkage key within one domain."""

    def __init__(self, key: LinkageKey, domain: str) -> None:
        super().__init__(seed="")
        self._key = key
        self._domain = domain

    def to_int(self, original_value: str) -> int:
        return self._key.number(self._domain, " ".join(str(original_value).split()).casefold())


class StandIns:
    """Gives each original value a stand-in that follows from the linkage key alone."""

    def __init__(self, key: LinkageKey) -> None:
        address = AddressAnonymizer(KeyedRandomizer(key, "address"))
        self._handlers: tuple[ElementAnonymizer, ...] = (
            PNAnonymizer(KeyedRandomizer(key, "name")),
            IDAnonymizer(KeyedRandomizer(key, "identifier"), "", "", *_ID_KEYWORDS),
            address,
            EquipmentAnonymizer(AddressAnonymizer(KeyedRandomizer(key, "institution"))),
        )

    def replacement(self, tag: int, vr: str, text: str) -> str:
        """Return the stand-in for the value of one attribute; several values (backslash) get as many.

        Raises LookupError when dicognito has no stand-in for this attribute.
        """
        element = DataElement(tag, vr, text, validation_mode=IGNORE)
        around = Dataset()
        if any(handler(around, element) for handler in self._handlers):
            return _joined(element)
        raise LookupError


def _joined(element: DataElement) -> str:
    if element.VM > 1:
        return "\\".join(str(value) for value in element.value)
    return str(element.value or "")
