"""The demonstration: invented studies, and what moves them on one machine."""
