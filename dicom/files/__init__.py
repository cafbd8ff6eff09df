"""Files on their way and at rest: the worker's spool, names and folders, studies staged and published in a folder."""
