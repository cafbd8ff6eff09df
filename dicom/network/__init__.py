"""DICOM peers over DIMSE and DICOMweb, each behind the ports of ``ports.py``; no files, no de-identification."""
