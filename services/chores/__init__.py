"""The work that an installation does by itself at set times; each chore may run twice at once, or be killed."""
