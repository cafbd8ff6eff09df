"""Hostile files are refused before they take the memory or the time of the machine."""

import io
import zipfile
from dataclasses import replace

import pytest

from models.domain.batches import BatchKind
from models.domain.errors import BadRequest
from services.batch_files.checking import check_query, check_transfer
from services.batch_files.limits import limits_of
from services.batch_files.reading import read_table
from tests.batch_files import ods, packed, texts, unpacked, xlsx, xlsx_parts

LIMITS = limits_of(BatchKind.QUERY, is_staff=False)
SHEET = "xl/worksheets/sheet1.xml"


def refused(data: bytes, word: str) -> None:
    with pytest.raises(BadRequest, match=word):
        read_table(data, LIMITS)


def with_sheet(content: str | bytes) -> bytes:
    return packed({**xlsx_parts(""), SHEET: content})


def test_a_file_beyond_5_mb_is_refused_for_users_and_read_for_staff() -> None:
    data = b"PatientID\n" + b"x" * 100 + b"\n" * (5 * 1024 * 1024)
    refused(data, "more than 5 MB")
    assert len(read_table(data, limits_of(BatchKind.QUERY, is_staff=True)).rows) == 2


def test_what_unpacks_to_far_more_is_refused() -> None:
    refused(with_sheet(b"<worksheet>" + b" " * 40_000_000), "unpacks to far more")


def test_what_lies_about_its_size_is_refused_while_it_unpacks() -> None:
    limits = replace(LIMITS, unpacked_bytes=2_000_000, ratio=100_000)
    data = with_sheet(b"<worksheet>" + b" " * 3_000_000)
    lying = data.replace((3_000_011).to_bytes(4, "little"), (1_000).to_bytes(4, "little"))
    assert lying != data
    for each in (data, lying):
        with pytest.raises(BadRequest):
            read_table(each, limits)


def test_an_archive_of_very_many_entries_is_refused() -> None:
    refused(packed({f"xl/{number}": "" for number in range(3000)}), "unpacks to far more")


def test_an_archive_with_two_entries_of_one_name_is_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = duplicated()
    refused(data, "damaged")


def duplicated() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in [*xlsx_parts("").items(), (SHEET, "<worksheet/>")]:
            archive.writestr(name, content)
    return data.getvalue()


LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
    '<worksheet><sheetData><row><c t="inlineStr"><is><t>&c;</t></is></c></row></sheetData></worksheet>'
)
FETCHING = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><worksheet>&a;</worksheet>'


@pytest.mark.parametrize("document", [LAUGHS, FETCHING, "<!DOCTYPE x><worksheet/>", "<worksheet>&unknown;</worksheet>"])
def test_no_entity_of_the_file_is_known(document: str) -> None:
    refused(with_sheet(document), "damaged")
    refused(packed({**unpacked(ods("")), "content.xml": document}), "damaged")


@pytest.mark.parametrize(
    "document",
    [
        "<a>" * 1000,
        "<worksheet>" + "".join(f"<a{number}/>" for number in range(3000)) + "</worksheet>",
        "<worksheet>" + "".join(f'<a b{number}=""/>' for number in range(3000)) + "</worksheet>",
        "<worksheet><row>",
        "no XML",
        b"\xff\xfe\xff",
        '<?xml version="1.0" encoding="utf-7"?><worksheet/>',
    ],
)
def test_what_no_spreadsheet_program_writes_is_damage(document: str | bytes) -> None:
    refused(with_sheet(document), "damaged")


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ('<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>', "columns"),
        ('<row r="1048576"><c r="A1048576"><v>1</v></c></row>', "below line"),
        ('<row r="0"><c r="A0"><v>1</v></c></row>', "below line"),
        ('<row r="1"><c r="ZZZZZZZ1"><v>1</v></c></row>', "columns"),
        ('<row r="x"><c><v>1</v></c></row>', "damaged"),
        ('<row r="1"><c r="A99999999999"><v>1</v></c></row>', "damaged"),
        (f"<row>{texts('A1', 'x' * 33_000)}</row>", "characters"),
    ],
)
def test_cells_far_away_or_too_many_are_refused(rows: str, word: str) -> None:
    refused(xlsx(rows), word)


def test_very_many_empty_cells_are_refused() -> None:
    with pytest.raises(BadRequest, match="too many cells"):
        read_table(xlsx("<row>" + '<c s="1"/>' * 2000 + "</row>"), replace(LIMITS, cells=2000))


def test_very_many_elements_of_any_kind_are_refused() -> None:
    with pytest.raises(BadRequest, match="unpacks to far more"):
        read_table(with_sheet("<worksheet>" + "<a/>" * 8001 + "</worksheet>"), replace(LIMITS, cells=2000))


def test_values_far_to_the_right_do_not_make_all_rows_long() -> None:
    rows = "".join(f'<row r="{line}"><c r="IV{line}"><v>1</v></c></row>' for line in range(1, 5000))
    refused(xlsx(rows), "too many cells")


def test_one_long_text_in_very_many_cells_is_refused() -> None:
    cells = '<row><c t="s"><v>0</v></c></row>' * 1000
    refused(xlsx(cells, texts=f"<si><t>{'x' * 30_000}</t></si>"), "far more text")


def test_merged_areas_that_cover_everything_again_and_again_are_refused() -> None:
    rows = "".join(f'<row r="{line}">{texts(f"A{line}", "x")}</row>' for line in range(1, 2000))
    merged = "".join(f'<mergeCell ref="A1:A{line}"/>' for line in range(1000, 2000))
    refused(xlsx(rows, after=f"<mergeCells>{merged}</mergeCells>"), "merged")


@pytest.mark.parametrize("is_staff", [False, True])
def test_the_rows_are_limited_by_kind_for_users(is_staff: bool) -> None:
    def table(rows: int):
        return read_table(b"PatientID,Modality,AccessionNumber\n" + b"1,CT,2\n" * rows + b",,\n" * 50, LIMITS)

    query, transfer = limits_of(BatchKind.QUERY, is_staff), limits_of(BatchKind.TRANSFER, is_staff)
    assert len(check_query(table(1000), query).rows) == 1000
    assert len(check_transfer(table(500), transfer).rows) == 500
    if is_staff:
        assert len(check_query(table(1001), query).rows) == 1001
        return
    with pytest.raises(BadRequest, match="1001 rows, but 1000"):
        check_query(table(1001), query)
    with pytest.raises(BadRequest, match="501 rows, but 500"):
        check_transfer(table(501), transfer)


@pytest.mark.parametrize("name", ["xl/workbook.xml", SHEET, "_rels/.rels", "xl/_rels/workbook.xml.rels"])
def test_a_workbook_without_one_of_its_parts_is_damaged(name: str) -> None:
    parts = xlsx_parts("<row><c><v>1</v></c></row>")
    del parts[name]
    if name == "_rels/.rels":
        assert read_table(packed(parts), LIMITS).rows
    else:
        refused(packed(parts), "damaged")


def test_other_files_that_are_archives_too_are_told_apart() -> None:
    refused(packed({"xl/workbook.bin": b""}), "xlsb")
    refused(packed({"word/document.xml": "<w/>"}), "damaged")
    refused(b"PK\x03\x04" + bytes(100), "damaged")


def test_an_archive_packed_with_a_password_or_in_an_unknown_way_is_damaged() -> None:
    data = bytearray(packed(xlsx_parts("")))
    for begin, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        place = data.find(begin)
        while place >= 0:
            data[place + offset] |= 1
            place = data.find(begin, place + 1)
    refused(bytes(data), "damaged")
