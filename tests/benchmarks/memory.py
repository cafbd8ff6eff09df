"""Counts how much of a header de-identification answers from memory, apart from any time measurement."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from unittest.mock import patch

from dicom.deid import profile
from dicom.deid.encoding import PIXEL_DATA, Element, Syntax, read_elements
from dicom.deid.engine import Deidentifier
from dicom.deid.keys import LinkageKey
from dicom.deid.policy import Policy, compiled
from dicom.deid.rules import Rule
from dicom.deid.streams import opened
from dicom.deid.templates import Templates, _Template
from dicom.deid.walker import Level, Walker
from dicom.part10 import split_part10
from models.domain.instances import Bytes, EncodedInstance
from tests.benchmarks.headers import Studies


@dataclass
class Counts:
    """Elements of the top level of headers; a sequence is one, whatever is in it.

    ``unchanged`` are in pieces that a template had, ``remembered`` were met before, ``fresh`` are treated anew. The
    others stay or go by their rule alone, or have a mark in their place.
    """

    instances: int = 0
    elements: int = 0
    unchanged: int = 0
    remembered: int = 0
    fresh: int = 0

    def __str__(self) -> str:
        parts = {
            "in pieces that a template had": self.unchanged,
            "remembered": self.remembered,
            "by their rule alone": self.elements - self.unchanged - self.remembered - self.fresh,
            "treated anew": self.fresh,
        }
        shares = ", ".join(f"{number / self.elements:.1%} {what}" for what, number in parts.items())
        return f"Of {self.elements / self.instances:.0f} elements per instance (top level): {shares}."


def counted(studies: Studies, released: Collection[str] = ()) -> Counts:
    """What becomes of the elements of these files, with an engine for each study."""
    policy = compiled(profile.load(profile.DEFAULT))
    key = LinkageKey(bytes(range(32)))
    counts = Counts()
    with patch.object(_Template, "_take_to_pieces", _uncounted):
        for files in studies:
            engine = _CountingEngine(policy, key, released, counts)
            for file in files:
                engine.instance(split_part10(file.read_bytes()))
    return counts


_take_to_pieces = _Template._take_to_pieces


def _uncounted(template: _Template, lesson: object) -> None:
    """Learn from an earlier instance, which is no work on the present one."""
    walker = template._walker
    assert isinstance(walker, _CountingWalker)
    before = walker.walked, walker.asked, walker.fresh
    _take_to_pieces(template, lesson)  # type: ignore[arg-type]
    walker.walked, walker.asked, walker.fresh = before


class _CountingEngine(Deidentifier):
    """An engine that counts; what a template that did not fit has treated anew, the engine has not met before."""

    def __init__(self, policy: Policy, key: LinkageKey, released: Collection[str], counts: Counts) -> None:
        super().__init__(policy, key, "BENCH-1", released=released)
        self._counts = counts
        self._walker = self._counting = _CountingWalker(policy, key, "BENCH-1")
        self._templates = Templates(self._walker, self._identifiers, policy.rule_for)

    def instance(self, instance: EncodedInstance) -> EncodedInstance:
        data, syntax = opened(instance.parts, instance.transfer_syntax_uid)
        elements = sum(element.tag not in PIXEL_DATA for element in read_elements(data, syntax))
        self._has_template = True
        self._counting.begin()
        result = super().instance(instance)
        walker, counts = self._counting, self._counts
        counts.instances += 1
        counts.elements += elements
        counts.unchanged += elements - walker.walked if self._has_template else 0
        counts.remembered += max(0, walker.asked - walker.fresh)
        counts.fresh += walker.fresh
        return result

    def _treated(
        self,
        data: memoryview,
        elements: list[Element],
        values: dict[int, bytes],
        syntax: Syntax,
        transfer_syntax_uid: str,
        is_released: bool,
    ) -> tuple[tuple[Bytes, ...], str]:
        self._has_template = False
        self._counting.asked = 0
        return super()._treated(data, elements, values, syntax, transfer_syntax_uid, is_released)


class _CountingWalker(Walker):
    """Counts elements of the top level: those it was given, those it had to change, and those it had not met before."""

    walked = asked = fresh = 0

    def begin(self) -> None:
        self.walked = self.asked = self.fresh = 0

    def treated(self, data: memoryview, elements: Sequence[Element], syntax: Syntax, level: Level) -> list[Bytes]:
        self.walked += len(elements) if level.depth == 0 else 0
        return super().treated(data, elements, syntax, level)

    def _remembered(self, data: memoryview, element: Element, rule: Rule, syntax: Syntax, level: Level) -> bytes:
        self.asked += level.depth == 0
        return super()._remembered(data, element, rule, syntax, level)

    def _guarded(self, data: memoryview, element: Element, rule: Rule, syntax: Syntax, level: Level) -> bytes:
        self.fresh += level.depth == 0
        return super()._guarded(data, element, rule, syntax, level)
