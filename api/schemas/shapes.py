"""What schemas are made of: texts and numbers that a database can hold, and pages of long lists."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

LARGEST_ID = 2**31 - 1

Id = Annotated[int, Field(ge=1, le=LARGEST_ID)]
Version = Annotated[int, Field(ge=1, le=LARGEST_ID, description="As it was read; 409 when it has changed since.")]
Text = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]
"""Any text but the character NUL, which PostgreSQL does not keep."""


class Request(BaseModel):
    """A body that a caller sends: unknown fields are refused, and errors never quote what was sent."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Answer(BaseModel):
    """A body that a caller gets."""

    model_config = ConfigDict(extra="forbid")
