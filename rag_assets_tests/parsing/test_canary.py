"""The canary: which documents are tried, and what is recommended for parsers known to be better, worse, or as good."""

from pathlib import Path

import pytest

from resources.errors import SettingsError
from resources.parsing.base import Content, RawDocument
from resources.parsing.canary import Trial, is_chosen, judge, run_canary
from resources.parsing.registry import parser
from resources.parsing.settings import ParsingSettings

TYPE = "application/x-canary-test"


@parser(TYPE, version=1)
def read_all(data, settings):
    return Content(data.lstrip(b"\0").decode())


@parser(TYPE, version=1, name="half")
def read_half(data, settings):
    text = data.lstrip(b"\0").decode()
    return Content(text[: len(text) // 2])


@parser(TYPE, version=1, name="same")
def read_same(data, settings):
    return Content(data.lstrip(b"\0").decode().replace(" ", "\n"))


DOCUMENTS = [RawDocument(str(one), "1", TYPE, b"\0" * 200 + b"some words of a document " * 20) for one in range(30)]


@pytest.mark.parametrize(("name", "recommendation"), [("half", "reject"), ("same", "promote")])
def test_parsers_are_recommended_for_what_they_read(name: str, recommendation: str):
    report = run_canary(DOCUMENTS, ParsingSettings(), media_type=TYPE, parser=name)
    assert (report.recommendation, len(report.trials)) == (recommendation, 30), report.reasons


def test_few_documents_prove_nothing_good():
    report = run_canary(DOCUMENTS[:5], ParsingSettings(), media_type=TYPE, parser="same")
    assert report.recommendation == "inconclusive"


def test_a_parser_that_reads_more_documents_is_promoted():
    trials = [Trial(str(one), "failed" if one < 3 else "ok", "ok", 1.0, 0.0, 1.0, 1.5) for one in range(25)]
    assert judge(trials).recommendation == "promote"
    assert "25 documents tried: 3 end better, 0 worse, 0 lose words" in judge(trials).reasons


def test_a_share_is_that_share_and_always_the_same_one():
    chosen = [key for key in map(str, range(10_000)) if is_chosen(key, 0.05)]
    assert 400 < len(chosen) < 600
    assert chosen == [key for key in map(str, range(10_000)) if is_chosen(key, 0.05)]
    assert is_chosen("any", 1.0) and not is_chosen("any", 0.0)


def test_an_unknown_canary_is_a_mistake_in_the_settings():
    with pytest.raises(SettingsError, match="no parser is named 'missing'"):
        run_canary(DOCUMENTS, ParsingSettings(), media_type=TYPE, parser="missing")


def test_pdf_has_a_second_parser_that_reads_the_same_words(shared_data: Path):
    files = sorted((shared_data / "files" / "pdf").glob("*.pdf"))
    raws = [RawDocument(path.name, "1", "application/pdf", path.read_bytes()) for path in files]
    report = run_canary(raws, ParsingSettings(), media_type="application/pdf", parser="plain")
    assert report.recommendation == "promote", report.reasons
