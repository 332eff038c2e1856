"""The settings of parsing: which parser, whether scans are read, and what one document may cost."""

from pydantic import Field

from resources.sections import Section


class ParsingSettings(Section):
    """How documents are parsed.

    `workers`: processes that parse; without it one for each core, fewer where memory is short. `memory_mb`, `seconds`:
    what parsing one document may take, in memory and in time, before it is stopped and recorded. `in_flight_mb`: how
    much of fetched documents may wait to be parsed. `parsers`: another registered parser than the first of a media
    type, as `{MEDIA TYPE: NAME}`. `ocr`: read scanned pages and images with tesseract in these languages (`eng+deu`).
    """

    workers: int | None = Field(default=None, ge=1, le=256)
    memory_mb: int = Field(default=1024, ge=256)
    seconds: float = Field(default=120, gt=0)
    in_flight_mb: int = Field(default=256, ge=1)
    parsers: dict[str, str] = Field(default_factory=dict)
    ocr: str | None = Field(default=None, pattern=r"^[A-Za-z_]+(\+[A-Za-z_]+)*$")
