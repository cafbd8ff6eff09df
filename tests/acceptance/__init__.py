"""Stories in a browser and of whole installations. A package: what its fixtures start ends before other tests begin."""
