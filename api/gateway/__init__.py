"""DICOMweb for every server that ADIT reaches, whatever protocol it speaks."""
