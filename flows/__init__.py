"""The order of things. Each flow takes a job's id and nothing else; the truth about the job is in our tables."""
