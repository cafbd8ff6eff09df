"""The nouns: domain types, settings and the database. Nothing here speaks DICOM or Prefect."""
