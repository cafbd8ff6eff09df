"""Reviewed words: coding schemes of the public, and terms that are nobody's name although they may look like one."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PUBLIC_SCHEMES = frozenset(
    word.encode()
    for word in _words(
        """
        ACR ATC BARI BI C4 C5 CADSR CD2 COD-P CPT4 CTV3 DC DCM DCMUID DICOMLT EUCAST FMA HGNC HL7V2 HPC HPNI I10 I10P
        I9 I9C IBSI ICD10 ICD10CM ICD10PCS ICD9 ICDO3 IEC61217 ISO3166_1 ISO3166_1_2 ISO3166_1_3 ISO639_1 ISO639_2
        ITIS_TSN LN LOINC MA MAYOASRG MDC MGI MSH NCIT NCIt NDC NEU NICIP NIH NYUMCCG PATHLEX POS PUBCHEM_CID
        RADELEMENT RADLEX RFC3066 RFC5646 RO RXNORM SCT SCPECG SNM3 SPM SRT SSM UBERON UCUM UMLS UNS
        """.upper()
    )
)
"""Coding scheme designators of PS3.16 table 8-1 in upper case, and two names that people write for them."""

TERMS = _words(
    """
    abdomen abdominal add added algo american anatomy angio ankle aorta approved arm arms atrium auto axial back base
    black body bone both brain breast canon carbon carotid center chest child chin clear color coronal cross day deep
    derived dark diffusion direct double dual ear elbow eye face fast feet female field filter fine finger flat flow
    foot frame frames frontal full fuji fujifilm ge hand hard head heart hip hips hologic iodine jaw joint knee large
    lateral left leg legs light linear liver localizer long lung male man mask max mean min mixed mobile mono monochrome
    mono2 mouth moving neck next nodule none norm normal nose nova order original other pelvis philips phantom phase
    plane point primary prime prone rib ribs right ring rose sagittal samsung scan screen secondary service sharp short
    shoulder siemens single skin skull slow small soft source spin spine standard step still stone strong sum summer
    supine table tail test thin toe tooth toshiba unknown upright upper volume volunteer wall water west white whole
    wide winter wrist young
    """
)
"""Defined terms, body parts and makers, in lower case: found in a header, such a word tells nothing about a person
who has the same name."""

NOBODY = _words("admin anonymous doctor operator physician prof radiology service system tech test unknown user")
"""What stands in fields for names without being one, in lower case."""
