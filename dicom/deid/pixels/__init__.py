"""Pixels and documents: what may pass, what is blanked, and what waits for a person."""
