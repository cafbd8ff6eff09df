"""What people see in a browser. It calls services and knows nothing of flows, DICOM, SQL or Prefect."""
