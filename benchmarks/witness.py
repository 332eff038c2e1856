"""Asks live questions without a break while something else happens to the corpus, and judges the answers afterwards.

An answer is right when it is the one that its snapshot gives: the snapshot that was live before is asked before, every
later one again at the end. Snapshots never go back. A question may be refused only by name, where the fault allows it.
"""

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from resources.corpus import Corpus
from resources.errors import RagAssetsError
from resources.retrieval.pipelines import retrieve
from resources.retrieval.snapshot import SnapshotView, open_live, served_documents
from resources.store.lance_store import LanceStore
from resources.store.snapshots import Manifest

PAUSE = 0.02
Answer = tuple[tuple[str, str], ...]


def served(corpus: Corpus) -> Any:
    """Return what live serves: every document's text, every chunk, and the model."""
    live = corpus.store.snapshots.live()
    assert live is not None
    return served_documents(corpus.store, live), live.chunks_digest, live.model_fingerprint


class Witness:
    """A thread that asks, for the time of the block. `refused`: what refusals said."""

    def __init__(self, corpus: Corpus, questions: Sequence[str]) -> None:
        self._folder, self._name = corpus.store.indexes.local.parent, corpus.name
        self._questions = questions
        self._heard: dict[tuple[int, str], set[Answer]] = {}
        self._faults: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask_on, daemon=True)
        live = self._store().snapshots.live()
        assert live is not None
        self._known = {(live.number, one): self._answer(self._store(), live, one) for one in questions}
        self.asked = 0
        self.refused: list[str] = []

    def __enter__(self) -> "Witness":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._ask(self._questions[0], 0)

    def wrong(self) -> list[str]:
        """Return what was wrong with the answers."""
        found = list(self._faults)
        for (number, question), heard in self._heard.items():
            right = self._known.get((number, question))
            if right is None:
                store = self._store()
                right = self._answer(store, store.snapshots.read(number), question)
            if heard != {right}:
                found.append(f"snapshot {number} answered {question!r} in {len(heard)} ways, not as it does now")
        return found

    def _store(self) -> LanceStore:
        return LanceStore(self._folder, self._name)

    def _answer(self, store: LanceStore, manifest: Manifest, question: str) -> Answer:
        hits = retrieve(SnapshotView(store, manifest), [question], k=5)[0]
        return tuple((hit.document_id, hit.chunk_id) for hit in hits)

    def _ask_on(self) -> None:
        newest = 0
        while not self._stop.is_set():
            for question in self._questions:
                newest = self._ask(question, newest)
                if self._stop.wait(PAUSE):
                    break

    def _ask(self, question: str, newest: int) -> int:
        """Ask live as a query does, and return its number."""
        self.asked += 1
        number = newest
        try:
            store = self._store()
            view = open_live(store)
            number = view.manifest.number
            self._heard.setdefault((number, question), set()).add(self._answer(store, view.manifest, question))
        except RagAssetsError as error:
            self.refused.append(f"a question was refused: {error}")
        except Exception as error:  # noqa: BLE001 - a defect is what this looks for
            self._faults.append(f"a question failed: {error!r}")
        if number < newest:
            self._faults.append(f"live went back from {newest} to {number}")
        return number
