"""What archives tell about studies, as people read it: names, dates, times, titles. Plain text, not Markdown."""

from datetime import date

from models.domain.refs import SeriesFound, StudyFound

_DICOM_DATE, _DICOM_TIME = 8, 4


def person(name: str) -> str:
    """A DICOM person name (PS3.5 section 6.2) as ``Family, Given``, in its first representation."""
    parts = name.partition("=")[0].split("^")
    given = " ".join(part for part in parts[1:3] if part)
    return ", ".join(part.strip() for part in (parts[0], given) if part.strip())


def day(text: str) -> str:
    """A DICOM date as ``2024-01-31``; what is no date stays as the archive gave it."""
    if len(text) == _DICOM_DATE and text.isdigit():
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return text


def day_and_time(study: StudyFound) -> str:
    """When a study was made, to the minute as far as the archive tells."""
    hour = study.study_time[:_DICOM_TIME]
    clock = f"{hour[:2]}:{hour[2:]}" if len(hour) == _DICOM_TIME and hour.isdigit() else ""
    return f"{day(study.study_date)} {clock}".strip()


def patient_title(study: StudyFound) -> str:
    """The patient of a study in a line: ID and name."""
    return ", ".join(filter(None, [study.patient_id, person(study.patient_name)])) or "without a patient ID"


def title(study: StudyFound) -> str:
    """One study in a line: patient, date, modalities, description."""
    patient = patient_title(study)
    return " | ".join(filter(None, [patient, day_and_time(study), "/".join(study.modalities), study.study_description]))


def series_title(series: SeriesFound) -> str:
    """One series in a line: number, modality, description."""
    return " ".join(filter(None, [series.number, series.modality, series.description])) or series.series_uid


def date_range(since: date | None, until: date | None) -> str:
    """Two dates as a DICOM range (PS3.4 section C.2.2.2.5); one of them, or both, may be missing."""
    first, last = (f"{at:%Y%m%d}" if at else "" for at in (since, until))
    if first == last:
        return first
    return f"{first}-{last}"
