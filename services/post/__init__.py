"""What ADIT writes to people: mails, broadcasts, and word of what has happened."""
