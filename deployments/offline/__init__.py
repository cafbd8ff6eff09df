"""De-identifies files of this machine without moving them through Prefect: what `adit deidentify` does."""
