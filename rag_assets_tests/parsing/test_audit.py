"""The audit's figures, on rows that have one known fault each, and on real files that have none."""

from pathlib import Path

import pytest

from resources.parsing.audit import (
    Readiness,
    content_preserved,
    contradictions,
    coverage,
    foreign,
    formulas_preserved,
    text_parts,
)
from resources.parsing.base import RawDocument
from resources.parsing.detection import DOCX
from resources.parsing.expectation import expect, figures
from resources.parsing.reading import parse
from resources.parsing.registry import media_type_of


def row(name: str = "a", **columns: object) -> dict[str, object]:
    source = columns.get("source", "docs")
    return {
        **{"document_id": f"{source}:{name}", "source": source, "key": name, "media_type": "text/html", "status": "ok"},
        **{"title": None, "text": "words " * 100, "text_hash": name, "metadata": {}},
        **columns,
    }


def judged(rows, topics=None) -> Readiness:
    covered = coverage(rows, topics) if topics else ()
    return Readiness(text_parts(rows, content_preserved(rows), formulas_preserved(rows), contradictions(rows), covered))


@pytest.fixture(scope="module")
def real_rows(shared_data: Path):
    rows = []
    for path in sorted((shared_data / "files").rglob("*")):
        if path.is_file():
            raw = RawDocument(path.name, "1", media_type_of(path.name) or "", path.read_bytes())
            parsed = parse(raw)
            rows.append(
                row(
                    path.name,
                    status=parsed.status,
                    media_type=parsed.media_type,
                    text=parsed.text or None,
                    title=parsed.title,
                    metadata=parsed.metadata,
                )
            )
    return rows


def test_real_files_lose_nothing(real_rows):
    found = content_preserved(real_rows)
    assert {"application/pdf", "text/html", "application/jats+xml"} < found.by_type.keys()
    assert all(share > 0.98 for share in found.by_type.values())
    assert found.share is not None and found.share > 0.97
    formulas = formulas_preserved(real_rows)
    assert formulas.lost == {"docs:ppub__pone.0000217.nxml": 0.0}, "its formulas are pictures"
    assert formulas.by_type[DOCX] == 1.0
    assert 0.7 < judged(real_rows).score < 1.0


def test_a_parser_that_loses_text_or_formulas_is_seen():
    rows = [
        row("good", metadata={"expected_characters": 500, "kept_characters": 510}),
        row("bad", metadata={"expected_characters": 300, "kept_characters": 35}),
    ]
    found = content_preserved(rows)
    assert found.lost == {"docs:bad": pytest.approx(35 / 300)}
    assert (found.share, found.judged, found.median) == (0.5, 2, pytest.approx((1 + 35 / 300) / 2))
    rows = [row("a", metadata={"expected_formulas": 4, "kept_formulas": 2})]
    assert formulas_preserved(rows).by_type == {"text/html": 0.5}


def test_what_is_kept_is_counted_without_white_space():
    page = b"<p>one two</p>" * 20
    assert figures(page, "text/html", "one two\n" * 10) == {"expected_characters": 120, "kept_characters": 60}
    assert figures(b"<math ></math><p>and</p>", "text/html", "$x$ and $$y$$")["kept_formulas"] == 2


def test_a_file_that_is_empty_in_spite_of_its_text_lost_all_and_is_counted_once():
    rows = [row(status="empty", metadata={"expected_characters": 300, "kept_characters": 0})]
    assert content_preserved(rows).lost == {"docs:a": 0.0}
    parts = judged([*rows, row("b", status="empty")]).parts
    assert (parts["readable"], parts["with_text"], parts["preserved"]) == (1.0, 0.5, 0.0)


def test_topics_without_documents_are_gaps():
    rows = [
        row("a", text="How to request parental leave"),
        row("b", title="Expenses"),
        row("c", status="failed", text=None),
    ]
    topics = {"leave": ["vacation"], "expenses": [], "security": ["password"]}
    assert [(one.name, one.documents, one.is_gap) for one in coverage(rows, topics)] == [
        ("security", 0, True),
        ("expenses", 1, False),
        ("leave", 1, False),
    ]
    assert judged(rows, topics).parts["covered"] == pytest.approx(2 / 3)


def test_topics_are_what_documents_say_or_their_folder():
    rows = [
        row("hr/a.md"),
        row("hr/b.md"),
        row("c", metadata={"keywords": "tax; law"}),
        row("d", metadata={"subjects": ["law"]}),
    ]
    assert {one.name: one.documents for one in coverage(rows)} == {"tax": 1, "hr": 2, "law": 2}


def test_the_same_title_over_another_text_of_another_source_contradicts():
    rows = [
        *(row("a", title="Leave Policy"), row("b", title="leave-policy", source="s3")),
        *(row("c", title="Same"), row("c", title="Same", source="s3")),
        *(row("d", title="Once"), row("e", title="Once")),
    ]
    [found] = contradictions(rows)
    assert (found.title, found.sources) == ("Leave Policy", ("docs", "s3"))


def test_documents_in_another_language_are_named():
    rows = [row("a", metadata={"language": "en-GB"}), row("b", metadata={"language": "fr"}), row("c")]
    assert foreign(rows, ["en"]) == {"docs:b": "fr"}


def test_readiness_counts_only_what_can_be_judged():
    found = judged([row("a"), row("b", status="failed", text=None)])
    assert {name for name, part in found.parts.items() if part is None} == {"preserved", "covered"}
    assert (found.parts["readable"], found.score) == (0.5, 0.5)
    assert judged([]).score == 0.0


@pytest.mark.parametrize(
    ("media_type", "piece"),
    [
        ("text/html", b"<script "),
        ("text/html", b"<!--"),
        ("application/jats+xml", b"<body <ref-list "),
        ("application/pdf", b"stream BT ("),
        ("application/pdf", b"endstream stream"),
    ],
)
def test_counting_is_linear_whatever_a_file_holds(media_type: str, piece: bytes):
    import time

    started = time.perf_counter()
    expect(piece * (1_000_000 // len(piece)), media_type)
    assert time.perf_counter() - started < 10
