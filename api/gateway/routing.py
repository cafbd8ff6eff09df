"""Routes of the gateway: what is wrong with a request is status 400 there, as PS3.18 says, and named as elsewhere."""

from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from api.gateway.uploads import upload_of
from api.problems import Problem, field_problems
from api.routing import Route
from models.domain.errors import BadRequest


class GatewayRoute(Route):
    """A route of the gateway. What is left of a body is taken before the answer, or the caller may never see that."""

    declares_its_query = False

    def get_route_handler(self) -> Callable[[Request], Any]:
        """The handler of this route."""
        answer = super().get_route_handler()

        async def answering(request: Request) -> Response:
            try:
                return await answer(request)
            except BadRequest as error:
                raise Problem(400, error.code, error.message, error.problems) from error
            except RequestValidationError as error:
                found = field_problems(error.errors())
                detail = " ".join(f"{name}: {text}" for name, text in found.items())
                raise Problem(400, BadRequest.__name__, detail, found) from error
            finally:
                if request.method == "POST" and "expect" not in request.headers:  # else nothing has been sent yet
                    await upload_of(request).drain()

        return answering
