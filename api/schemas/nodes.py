"""Nodes as those see them who may use them."""

from pydantic import Field

from api.schemas.shapes import Answer


class NodeShown(Answer):
    """A server or a folder that the caller may use; requests name it by any of these."""

    id: int
    name: str = Field(examples=["PACS"])
    ae_title: str = Field(description="Empty for a folder.", examples=["PACS1"])
    is_server: bool


class Nodes(Answer):
    """From where to where the caller may transfer."""

    sources: list[NodeShown]
    destinations: list[NodeShown]
