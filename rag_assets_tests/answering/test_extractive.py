import json
import pydoc_data.topics

import pytest

from rag_assets_tests.retrieval.built_corpus import BuiltCorpus, Text, build
from resources.answering.extractive import answer

QUESTION = "What is the assert statement good for?"


@pytest.mark.parametrize("pipeline", ["bm25", "basic", "hybrid", "colbert"])
def test_sentences_are_quoted_verbatim_from_the_cited_passage(topics: BuiltCorpus, pipeline: str) -> None:
    found = answer(topics, QUESTION, pipeline=pipeline)
    assert found.pipeline == pipeline
    assert 1 <= len(found.sentences) <= 3
    cited = {citation.number: citation for citation in found.citations}
    for sentence in found.sentences:
        citation = cited[sentence.citation]
        article = pydoc_data.topics.topics[citation.key].strip()
        assert article[sentence.start : sentence.end] == sentence.text == sentence.text.strip()
        assert citation.start <= sentence.start < sentence.end <= citation.end
        assert topics.rows[citation.chunk_id].document_id == citation.document_id
        assert citation.title == citation.key
    assert len({sentence.text for sentence in found.sentences}) == len(found.sentences)


def test_it_answers_from_the_right_article(topics: BuiltCorpus) -> None:
    found = answer(topics, QUESTION)
    assert found.citations[0].document_id == "beir:assert"
    assert any("insert debugging assertions" in " ".join(sentence.text.split()) for sentence in found.sentences)
    assert found.sentences[0].score == pytest.approx(1, abs=0.7)
    assert found.hits[0].document_id == "beir:assert"
    assert len(found.hits) == 5


def test_headings_and_code_are_not_quoted_as_sentences(topics: BuiltCorpus) -> None:
    for question in (QUESTION, "Which exceptions are there?", "How do I call a method of the base class?"):
        assert all(
            sentence.text.rstrip("\"')”").endswith((".", "!", "?", ":"))
            for sentence in answer(topics, question).sentences
        )


def test_citations_are_numbered_in_the_order_they_are_quoted(topics: BuiltCorpus) -> None:
    found = answer(topics, "How are exceptions raised, caught and chained?")
    first = list(dict.fromkeys(sentence.citation for sentence in found.sentences))
    assert first == list(range(1, len(found.citations) + 1)) == [one.number for one in found.citations]


def test_it_says_that_it_is_extractive_and_can_be_written_as_json(topics: BuiltCorpus) -> None:
    found = json.loads(json.dumps(answer(topics, QUESTION).as_json()))
    assert found["method"] == "extractive"
    assert "no language model" in found["notice"]
    assert set(found["hits"][0]) == {"chunk_id", "document_id", "score", "parts"}


def test_nothing_found_is_said(topics: BuiltCorpus) -> None:
    found = answer(topics, "zzyzx qwrtp", pipeline="bm25")
    assert found.sentences == found.citations == found.hits == ()
    assert found.notice.startswith("Nothing was found")


def test_a_passage_without_a_full_stop_is_one_sentence(tmp_path_factory: pytest.TempPathFactory) -> None:
    corpus = build([Text("1", "", "blue"), Text("2", "", "  a green  ")], tmp_path_factory.mktemp("short"))
    found = answer(corpus, "green")
    assert found.sentences[0].text == "a green"
    assert found.citations[0].title is None
