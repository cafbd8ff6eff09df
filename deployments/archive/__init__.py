"""A small DICOM archive for demonstrations and for machines without Orthanc.

Not for patients: it has no access control. It answers C-ECHO, C-FIND, C-GET, C-MOVE and C-STORE and keeps every
instance byte for byte in a folder.
"""
