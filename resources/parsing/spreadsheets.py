"""Spreadsheets and other tables: XLSX, CSV and TSV as Markdown tables, the first row as their header."""

import csv
import datetime
import io
from typing import Any

from resources.parsing.archive import open_archive
from resources.parsing.base import Content, ParseError
from resources.parsing.detection import XLSX
from resources.parsing.office import core_properties
from resources.parsing.registry import parser
from resources.parsing.settings import ParsingSettings
from resources.parsing.text import decode
from resources.parsing.writing import blocks, heading, table

MAX_FIELD = 1 << 24
_SAMPLE = 1 << 13


@parser(XLSX, extensions=(".xlsx", ".xlsm"), version=1, libraries=("python-calamine",))
def read_xlsx(data: bytes, settings: ParsingSettings) -> Content:
    """Return every sheet that has cells, under its name; values as they are, formulas by their last result."""
    from python_calamine import CalamineError, CalamineWorkbook

    with open_archive(data) as archive:
        metadata = core_properties(archive)
    parts: list[str] = []
    problems: list[str] = []
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(data))
    except CalamineError as error:
        raise ParseError(f"damaged: {error}") from error
    for name in workbook.sheet_names:
        try:
            rows = workbook.get_sheet_by_name(name).to_python(skip_empty_area=True)
        except (CalamineError, ValueError) as error:
            problems.append(f"sheet {name}: {error}")
            continue
        if text := table([[_written(cell) for cell in row] for row in rows]):
            parts += [heading(2, name), text]
    if problems and len(problems) == len(workbook.sheet_names):
        raise ParseError(f"damaged: {problems[0]}")
    title = metadata.pop("title", None)
    return Content(blocks(parts), str(title) if title else None, metadata, tuple(problems))


@parser(*("text/csv", "text/tab-separated-values"), extensions=(".csv",), version=1, libraries=("charset-normalizer",))
def read_csv(data: bytes, settings: ParsingSettings) -> Content:
    """Return the rows as a table; what is no table after all stays the text that it is."""
    text, problems = decode(data)
    csv.field_size_limit(MAX_FIELD)
    try:
        dialect: Any = csv.Sniffer().sniff(text[:_SAMPLE], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel_tab if "\t" in text[:_SAMPLE] else csv.excel
    try:
        rows = list(csv.reader(io.StringIO(text), dialect))
    except csv.Error:
        return Content(text, problems=problems)
    return Content(table(rows), problems=problems)


def _written(cell: Any) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime.datetime) and cell.time() == datetime.time():
        return cell.date().isoformat()
    if isinstance(cell, datetime.datetime | datetime.date | datetime.time):
        return cell.isoformat()
    return str(cell)
