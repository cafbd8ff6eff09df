"""Finds instances that may show the patient's identity where header rules cannot reach: in pixels and documents.

CT, MR and other device images without Burned In Annotation pass, CR, DX, XA and RF among them: in their modules, or in
what scanners really send, the attribute may be absent, and their detectors write no text. Those whose class is known
for text in the picture pass only when they declare NO; documents never pass.
"""

import re

from models.domain.errors import NeedsReview

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_DOCUMENTS = f"{_STORAGE}104."
_DECLARE_NO = (
    f"{_STORAGE}7",  # secondary capture
    f"{_STORAGE}3",  # ultrasound multi-frame, also retired
    f"{_STORAGE}6",  # ultrasound, also retired and enhanced volume
    "1.2.840.10008.5.1.1.29",  # hardcopy grayscale (retired), a sheet of film as it was printed
    "1.2.840.10008.5.1.1.30",  # hardcopy colour (retired)
    f"{_STORAGE}77.1",  # visible light: endoscopy, microscopy, photography, ophthalmology, and their videos
)
_SCREENS = frozenset({"SCREEN", "SCREENSAVE", "SCREENSHOT", "PROT", "PROTOCOL", "REPORT", "DOSE", "LABEL"})
"""Words within the values of Image Type, as in SCREEN SAVE, DOSE_INFO and Siemens' CT_SOM5 PROT."""
_BETWEEN_WORDS = re.compile(r"[\\\s_]+")


def check(sop_class_uid: str, burned_in_annotation: str, image_type: str) -> None:
    """Raise NeedsReview unless the header says, or the class lets expect, that there is no identity in the picture.

    ``burned_in_annotation`` is (0028,0301), ``image_type`` (0008,0008) with its backslashes. Classes that are not of
    the standard need a review, too: nobody knows what they hold.
    """
    if not sop_class_uid.startswith("1.2.840.10008."):
        raise NeedsReview("The instance's SOP class is private; its content cannot be judged.")
    if sop_class_uid.startswith(_DOCUMENTS):
        raise NeedsReview("The instance is an encapsulated document or model, which may name the patient.")
    if burned_in_annotation == "NO":
        return
    if burned_in_annotation:
        raise NeedsReview("The instance declares that text is burned into its pixels.")
    if any(sop_class_uid == family or sop_class_uid.startswith(f"{family}.") for family in _DECLARE_NO):
        raise NeedsReview("The instance's class often has text burned in, and the instance does not deny it.")
    if not _SCREENS.isdisjoint(_BETWEEN_WORDS.split(image_type.upper())):
        raise NeedsReview("The instance is a copy of a screen or label, which may name the patient.")
