"""Long lists as lines of JSON (NDJSON), each as soon as it is known."""

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from pydantic import BaseModel

from api import problems
from api.streams import Stream
from models.domain.errors import AditError

NDJSON = "application/x-ndjson"


class Lines(Stream):
    """An object in each line. The last one says how it ended: ``{"end": ...}``, or ``{"error": ...}``.

    An error before the first object is an ordinary problem.
    """

    def __init__(
        self,
        found: Generator[BaseModel],
        tell_end: Callable[[], BaseModel],
        stop: Callable[[], None],
        is_alive: Callable[[], bool],
    ) -> None:
        super().__init__(_lines(found, tell_end), NDJSON, stop=stop, is_alive=is_alive)
        self._end_search = stop

    def _close(self) -> None:
        super()._close()
        self._end_search()


def wants_lines(accept: str) -> bool:
    """Whether the header asks for lines of JSON."""
    return any(part.partition(";")[0].strip().lower() == NDJSON for part in accept.split(","))


def _lines(found: Generator[BaseModel], tell_end: Callable[[], BaseModel]) -> Iterator[bytes]:
    has_begun = False
    try:
        with closing(found):
            for one in found:
                yield _line(one.model_dump_json())
                has_begun = True
    except AditError as error:
        if not has_begun:
            raise
        yield _line(json.dumps({"error": json.loads(bytes(problems.of(error).body))}))
        return
    yield _line(f'{{"end":{tell_end().model_dump_json()}}}')


def _line(text: str) -> bytes:
    return text.encode() + b"\n"
