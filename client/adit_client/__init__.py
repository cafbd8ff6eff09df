"""A client of ADIT: search, transfer, retrieve and store DICOM studies from a Python program."""
