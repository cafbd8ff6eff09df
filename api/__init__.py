"""The door for programs: REST, and DICOMweb for any server that ADIT reaches. Calls services and nothing below."""
