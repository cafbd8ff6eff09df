"""Looking at a server before anything is moved: studies, series, and what a transfer would take."""
