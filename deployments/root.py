"""Where ADIT's own files are: a checkout, or what is installed."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
