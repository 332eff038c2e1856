import os
import sys

import pytest

from resources.evaluation.ragas_metrics import Contexts, measure

PASSAGE = "An investigation of the flow over a blunt body at hypersonic speed was made in a wind tunnel."
OTHER = "Buckling of thin cylindrical shells under axial compression is treated by the energy method here."


def test_ragas_computes_its_own_metrics() -> None:
    pytest.importorskip("ragas", reason="the extra `ragas` is not installed")
    figures = measure(
        [
            Contexts(["a", "b"], ["a", "c"], [OTHER, PASSAGE], [PASSAGE.replace("blunt", "slender"), "nothing alike"]),
            Contexts([], ["a"], [], [PASSAGE]),
        ]
    )
    assert figures.queries == 2
    assert figures.note == ""
    assert figures.means == pytest.approx(
        {"ragas_id_precision": 0.25, "ragas_id_recall": 0.25, "ragas_text_precision": 0.25, "ragas_text_recall": 0.25}
    )
    assert os.environ["RAGAS_DO_NOT_TRACK"] == "true"


def test_packages_that_do_not_fit_each_other_are_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ragas", reason="the extra `ragas` is not installed")
    monkeypatch.setitem(sys.modules, "ragas.metrics", None)
    figures = measure([Contexts(["a"], ["a"], [PASSAGE], [PASSAGE])])
    assert (figures.queries, figures.means) == (0, {})
    assert "ragas.metrics" in figures.note


def test_without_the_extra_a_note_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ragas", None)
    figures = measure([Contexts(["a"], ["a"], [PASSAGE], [PASSAGE])])
    assert (figures.queries, figures.means) == (0, {})
    assert "pip install 'rag-assets[ragas]'" in figures.note
