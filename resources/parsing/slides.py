"""PowerPoint: a heading for each slide, its text, tables and formulas, and the speaker's notes."""

from collections.abc import Iterator
from typing import Any

from resources.parsing.archive import open_archive
from resources.parsing.base import JSON, Content, ParseError
from resources.parsing.detection import PPTX
from resources.parsing.formulas import local_name, omml_to_latex
from resources.parsing.office import core_properties, part_names
from resources.parsing.registry import parser
from resources.parsing.settings import ParsingSettings
from resources.parsing.writing import blocks, heading, one_line, table, tidy
from resources.parsing.xml import read_xml


@parser(PPTX, extensions=(".pptx", ".pptm"), version=1)
def read_pptx(data: bytes, settings: ParsingSettings) -> Content:
    """Return the slides in the order of their numbers; one that is damaged makes the document partial."""
    parts: list[str] = []
    problems: list[str] = []
    with open_archive(data) as archive:
        slides = part_names(archive, "ppt/slides", ("slide",))
        if not slides:
            raise ParseError("damaged: it has no slide")
        for number, name in enumerate(slides, 1):
            try:
                name_of_slide, texts = _slide(read_xml(archive.read(name)))
                notes = archive.find(name.replace("ppt/slides/slide", "ppt/notesSlides/notesSlide"))
                said = _slide(read_xml(notes))[1] if notes else []
            except ParseError as error:
                problems.append(f"slide {number}: {error}")
                continue
            if name_of_slide or texts or said:
                parts += [heading(2, name_of_slide or f"Slide {number}"), *texts, *said]
        metadata: dict[str, JSON] = {"pages": len(slides), **core_properties(archive)}
    if len(problems) == len(slides):
        raise ParseError(problems[0])
    title = metadata.pop("title", None)
    return Content(tidy(blocks(parts)), str(title) if title else None, metadata, tuple(problems))


def _slide(root: Any) -> tuple[str, list[str]]:
    """Return the title and the other texts of a slide."""
    title, texts = "", []
    for shape in root.iter():
        name = local_name(shape)
        if name == "tbl":
            texts.append(table(_rows(shape)))
        elif name == "sp":
            kind = next((one.get("type") or "" for one in shape.iter() if local_name(one) == "ph"), "")
            if kind in ("sldNum", "dt", "ftr", "sldImg"):
                continue
            lines = list(_paragraphs(shape))
            if kind in ("title", "ctrTitle") and not title:
                title = one_line(" ".join(lines))
            elif lines:
                texts.append("\n".join(f"- {line}" for line in lines) if len(lines) > 1 else lines[0])
    return title, texts


def _paragraphs(element: Any) -> Iterator[str]:
    for paragraph in element.iter():
        if local_name(paragraph) == "p" and (line := one_line("".join(_pieces(paragraph)))):
            yield line


def _pieces(element: Any) -> Iterator[str]:
    for child in element:
        match local_name(child):
            case "t":
                yield child.text or ""
            case "br" | "tab":
                yield " "
            case "oMath":
                yield f"${omml_to_latex(child)}$"
            case "Fallback" | "rPr" | "pPr":
                continue
            case _:
                yield from _pieces(child)


def _rows(element: Any) -> Iterator[list[str]]:
    for row in element:
        if local_name(row) == "tr":
            yield [" ".join(_paragraphs(cell)) for cell in row if local_name(cell) == "tc"]
