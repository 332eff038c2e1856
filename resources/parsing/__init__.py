"""From bytes to text: one module per document format, each registering its parsers with `base`.

A parser turns one document's bytes into text, a title and metadata. It fetches nothing and cuts nothing into chunks.
"""

from resources.parsing import (  # noqa: F401  (each registers its parsers)
    docx,
    epub,
    html,
    jats,
    mail,
    markdown,
    ocr,
    office,
    pdf,
    records,
    slides,
    spreadsheets,
    text,
)
