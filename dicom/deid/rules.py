"""What can be done with an element, and the tags that more than one module must know."""

from enum import Enum, auto

SPECIFIC_CHARACTER_SET = 0x00080005
SOP_CLASS_UID, SOP_INSTANCE_UID = 0x00080016, 0x00080018
STUDY_UID, SERIES_UID = 0x0020000D, 0x0020000E
STUDY_DATE, STUDY_TIME, MODALITY = 0x00080020, 0x00080030, 0x00080060
SERIES_NUMBER = 0x00200011
PATIENT_NAME, PATIENT_ID, BIRTH_DATE = 0x00100010, 0x00100020, 0x00100030
CODING_SCHEME, CODE_MEANING, CONCEPT_NAME = 0x00080102, 0x00080104, 0x0040A043
CONTENT_SEQUENCE = 0x0040A730
MEASURED_VALUE, MEASUREMENT_UNITS = 0x0040A300, 0x004008EA


class Rule(Enum):
    """What is done with an element."""

    __hash__ = object.__hash__  # there is one of each; Enum's own, in Python, was 3 % of all de-identification

    KEEP = auto()
    KEEP_IF_VALID = auto()
    """Keep a value that its VR can have. Another one is emptied; it goes, when its VR was lost (UN)."""
    KEEP_OR_CLEAN = auto()
    """Keep a code string that is spelled as one; of another one only the reviewed words."""
    DELETE = auto()
    PRIVATE = auto()
    """Keep a private attribute when it is known to be safe, with its creator; else delete it."""
    EMPTY = auto()
    DUMMY = auto()
    UID = auto()
    KIND = auto()
    """Keep a UID that names a kind of thing by the standard; another one is replaced."""
    SCHEME_UID = auto()
    """Keep the UID of a public coding scheme; that of another one is replaced."""
    DATE = auto()
    """Shift; a date that cannot be read is emptied."""
    DATE_TIME = auto()
    TIME = auto()
    """Keep a time of day or an offset from UTC; what is neither is emptied."""
    PLAIN_DATE = auto()
    """Keep a date; what is none is emptied."""
    PLAIN_DATE_TIME = auto()
    AGE = auto()
    """Keep an age; from 90 years on it becomes 90 years, since few are as old."""
    STAND_IN = auto()
    PSEUDONYM = auto()
    LABEL = auto()
    """Replace a name by which other items find this one; the same name becomes the same label."""
    CLEAN_TEXT = auto()
    """Keep the reviewed words of a text; without any the value is emptied."""
    CLEAN_LABEL = auto()
    """Like CLEAN_TEXT for attributes that must have a value: without any word it gets a dummy."""
    DESCEND = auto()
    DESCEND_STRICTLY = auto()
    """Descend, and replace whatever text is left."""
    ONE_DUMMY_ITEM = auto()
    """Replace a content tree by one item that says nothing."""
    CHARACTER_SET = auto()
    SCHEME = auto()
    CODE = auto()
    """Keep a code or its meaning when its coding scheme is a public one."""
    CONCEPT = auto()


SEQUENCE_RULES = frozenset({Rule.DESCEND, Rule.DESCEND_STRICTLY, Rule.CONCEPT})


def name_of(tag: int) -> str:
    """The tag as people write it."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
