"""How the API describes itself: OpenAPI, and a plain page of it that needs no script."""

from collections.abc import Iterator, Mapping
from html import escape
from json import dumps
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import HTMLResponse

from api.problems import MEDIA_TYPE

Document = dict[str, Any]

ADDRESS = "/v1/openapi.json"
PAGE = "/v1/docs"
_INTRODUCTION = (
    "Everything that a person can do in the browser, with the same rights. Send a token with every request: "
    "`Authorization: Bearer adit_...`. Errors are problems (RFC 9457) that name fields and repeat nothing of yours."
)
_REFERENCE = "#/components/schemas/"
_OF_THE_FRAMEWORK = ("HTTPValidationError", "ValidationError")
_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}"
    "code,pre{background:#f3f3f3;padding:.1rem .3rem}pre{padding:.6rem;overflow:auto}summary{cursor:pointer}"
)


class ProblemDocument(BaseModel):
    """What every error is answered with."""

    type: str = Field(examples=["urn:adit:error:BadRequest"])
    title: str = Field(examples=["Bad request"])
    status: int = Field(examples=[422])
    detail: str
    code: str = Field(description="The kind of error, for programs.", examples=["BadRequest"])
    errors: dict[str, str] = Field(description="A sentence for each field, where fields are wrong.")
    problems: list[dict[str, Any]] = Field(
        default=[], description="What is wrong with a batch file: `row`, `column`, `sentence` and `weight` of each."
    )
    reference: str = Field(default="", description="By which an administrator finds an error of ours in the log.")


def install(app: FastAPI) -> None:
    """Let the application describe itself, and serve a page of that."""

    def described() -> Document:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    async def page(_request: Request) -> HTMLResponse:
        return HTMLResponse(_page(described()))

    app.openapi = described
    app.add_route(PAGE, page, include_in_schema=False)


def _document(app: FastAPI) -> Document:
    document = get_openapi(
        title="ADIT", version=app.version, description=_INTRODUCTION, routes=app.routes, tags=app.openapi_tags
    )
    parts = document.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    schemas["Problem"] = ProblemDocument.model_json_schema()
    for name in _OF_THE_FRAMEWORK:
        schemas.pop(name, None)
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "description": "An API token."}}
    document["security"] = [{"token": []}]
    for operation in _operations(document):
        operation["responses"].pop("422", None)
        operation["responses"]["default"] = {
            "description": "What did not work.",
            "content": {MEDIA_TYPE: {"schema": {"$ref": f"{_REFERENCE}Problem"}}},
        }
    return document


def _operations(document: Document) -> Iterator[Document]:
    return (operation for path in document["paths"].values() for operation in path.values())


def _page(document: Document) -> str:
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>API of ADIT</title><style>{_STYLE}</style>",
        f"<h1>API of ADIT</h1><p>{escape(document['info']['description'])}</p>",
        f'<p>For programs: <a href="{ADDRESS.rpartition("/")[2]}">OpenAPI</a></p>',
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.append(_operation(method, path, operation, document))
    return "".join(parts)


def _operation(method: str, path: str, operation: Document, document: Document) -> str:
    told = escape(operation.get("description", ""))
    parameters = "".join(
        f"<li><code>{escape(each['name'])}</code> ({escape(each['in'])}) {escape(each.get('description', ''))}</li>"
        for each in operation.get("parameters", ())
    )
    example = _example(operation, document["components"]["schemas"])
    body = f"<p>Body, for example</p><pre>{escape(dumps(example, indent=2))}</pre>" if example else ""
    head = f"<summary><code>{method.upper()} {escape(path)}</code> {told}</summary>"
    return f"<details>{head}<ul>{parameters}</ul>{body}</details>"


def _example(operation: Document, schemas: Mapping[str, Document]) -> Any:
    """The example of the body's schema, if it has one."""
    content = operation.get("requestBody", {}).get("content", {})
    told: Document = content.get("application/json") or content.get("multipart/form-data") or {}
    reference: str = told.get("schema", {}).get("$ref", "")
    return next(iter(schemas.get(reference.removeprefix(_REFERENCE), {}).get("examples", ())), None)
