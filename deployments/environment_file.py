"""The file `.env` beside `example.env`: what stands in both, what an update has brought, and how a line is changed.

Values are what stands behind the equals sign, to the end of the line. Four read them, each by rules of its own: our
programs (python-dotenv), the calls of Docker made from here, PostgreSQL's container (a line of sed), and the compose
plugin. ``misread`` finds the lines of which they would not all make the same.
"""

import os
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from models.domain.errors import BadRequest, NotFound, reason_of

ENV_FILE = Path(".env")
"""The one that our programs read."""
_LINE = re.compile(r"(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)")
_ANY_LINE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_.]*)=(?P<value>.*)", re.DOTALL)
_OURS = ("ADIT_", "STACK_")
_OWNER, _GROUP, _EVERYBODY = 0o600, 0o040, 0o007
_OTHERS_BITS = 0o027
"""A group may read the file: that of the user under whom programs of systemd run; it may not change it."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What an administrator has to look at in ``.env`` after an update; all by names, values may be secret."""

    new: tuple[str, ...] = ()
    """In the example only: the default counts."""
    changed: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    """Whose default has changed since ``.env`` was settled: before, and now."""
    unknown: tuple[str, ...] = ()
    """In ``.env`` only: mistyped, or no setting any more."""
    misread: Mapping[str, str] = field(default_factory=dict[str, str])
    twice: tuple[str, ...] = ()
    is_open: bool = False
    """Whether other users of the machine may read the file."""


def values_of(path: Path) -> dict[str, str]:
    """Names and values of a file; the last line of a name counts. Raises NotFound."""
    return dict(_lines(_read(path)))


def compare(env: Path, example: Path, settled: Path) -> Comparison:
    """``settled`` is the example as it was when ``.env`` was last brought up to date; it may be missing."""
    lines, examples = _lines(_read(env)), values_of(example)
    names = [name for name, _ in lines]
    before = values_of(settled) if settled.exists() else examples
    return Comparison(
        new=tuple(name for name in examples if name not in names),
        changed={name: (before[name], now) for name, now in examples.items() if before.get(name, now) != now},
        unknown=tuple(dict.fromkeys(name for name in names if name not in examples)),
        misread=misread(env),
        twice=tuple(sorted({name for name in names if names.count(name) > 1})),
        is_open=is_open(env),
    )


def is_open(path: Path) -> bool:
    """Whether others than the owner can change the file, or others than its group can read it."""
    return bool(path.stat().st_mode & _OTHERS_BITS)


def closing(path: Path) -> str:
    """The command after which a file is not open any more; its group may still read it."""
    return f"chmod g-w,o= {path}"


def misread(path: Path, by_compose: bool = False) -> Mapping[str, str]:
    """Why not all who read the file would read the same, by the name of the value, or by the line that has none.

    The compose plugin, which only development uses, also puts something else in the place of a name behind ``$``.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(_raw(path).split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _ANY_LINE.fullmatch(line)
        name = match["name"] if match else ""
        if match is None or len(line.splitlines()) > 1 or (name != name.upper() and name.upper().startswith(_OURS)):
            found[f"line {number}"] = "not of the form NAME=value, with nothing before the name and behind it"
        elif why := _ambiguity(match["value"], by_compose):
            found[name] = why
    return found


def check_is_read_alike(path: Path, by_compose: bool = False) -> None:
    """Raise BadRequest naming what is ``misread``, if anything is; a file that is not there is no trouble."""
    if path.exists() and (found := misread(path, by_compose)):
        raise BadRequest(" ".join(f"{path}: {name}: {why}." for name, why in found.items()))


def _ambiguity(value: str, by_compose: bool) -> str:
    """What is read in several ways; empty when nothing is."""
    if value[:1] in {"'", '"', "`"}:
        return "quotes would be a part of the value in containers"
    if value != value.strip():
        return "white space around the value, or a line end of Windows, would be a part of it for PostgreSQL"
    if re.search(r"(^|\s)#", value):
        return "what is behind # would be left out by some programs, and be a part of the value for others"
    if "${" in value or (by_compose and "$" in value):
        return "some programs would put something else in the place of what is behind $"
    return ""


def begin(env: Path, example: Path, settled: Path) -> None:
    """Make ``.env`` from the example; raises BadRequest when there is one."""
    if env.exists():
        raise BadRequest(f"{env} is there already, and is left as it is. See adit env-check.")
    settle(example, settled)
    _write(env, _read(example))


def settle(example: Path, settled: Path) -> None:
    """Note that ``.env`` has been brought up to date with the example."""
    _write(settled, _read(example))


def change(env: Path, values: Mapping[str, str]) -> None:
    """Put values in their lines, and names that have none at the end. Whoever reads sees all of it or nothing."""
    text = _read(env)
    for name, value in values.items():
        line = f"{name}={value}"
        text, count = re.subn(rf"^{name}=.*$", lambda _, line=line: line, text, flags=re.MULTILINE)
        if not count:
            text = f"{text.rstrip()}\n{line}\n"
    _write(env, text)


def _lines(text: str) -> list[tuple[str, str]]:
    matches = (_LINE.fullmatch(line.strip()) for line in text.splitlines())
    return [(match["name"], match["value"].strip()) for match in matches if match]


def _read(path: Path) -> str:
    return _raw(path).replace("\r\n", "\n")


def _raw(path: Path) -> str:
    """The text with its line ends as they are."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError as exc:
        raise NotFound(f"There is no {path}. Begin with adit init-workspace in the clone of the project.") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise BadRequest(f"{path} cannot be read.") from exc


def _write(path: Path, text: str) -> None:
    """Replace a file at once by one that only this user may read, and the group that could read it before.

    A file that everybody could read was open by chance, so its group is left out, too.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    except OSError as exc:
        raise BadRequest(f"{path} cannot be written: {reason_of(exc)}.") from exc
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            with suppress(FileNotFoundError, PermissionError):
                before = path.stat()
                os.fchown(descriptor, before.st_uid, before.st_gid)
                os.fchmod(descriptor, _OWNER | (before.st_mode & _GROUP if not before.st_mode & _EVERYBODY else 0))
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
