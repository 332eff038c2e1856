"""The resource that opens corpora: which `rag.yaml`, which RAG_HOME, and the lease a run writes under.

The only place where Dagster's run meets the store's lease. What is done with a corpus belongs to `resources`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from resources.corpus import Corpus, open_corpus
from resources.errors import RagAssetsError
from resources.observability.logging import correlated
from resources.policy import BudgetSettings
from resources.reconciliation.listing import listing_once
from resources.settings import Settings, load_settings
from resources.store.allowance import Allowance, step_back
from resources.store.lease import Process
from resources.store.writer import CorpusWriter, writing
from sensors.dead_runs import mark_run, process_of, run_has_ended

MODE_TAG = "rag/mode"
DEADLINE_TAG = "rag/deadline"
SHARE_TAG = "rag/share"


class CorporaResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens corpora as `rag.yaml` says.

    `config`: its path, empty for $RAG_CONFIG or ./rag.yaml; `home`: RAG_HOME, empty for its default.

    The file is read anew in every step, so that a long-lived code location follows it.
    """

    config: str = ""
    home: str = ""

    def settings(self) -> Settings:
        """Read the settings."""
        settings = load_settings(Path(self.config) if self.config else None)
        return settings.model_copy(update={"home": Path(self.home)}) if self.home else settings

    @contextmanager
    def reading(self, context: dg.OpExecutionContext | dg.AssetCheckExecutionContext) -> Iterator[Corpus]:
        """Open the run's corpus, and turn a deliberate error into a failure that says just that."""
        if not context.has_partition_key:
            raise dg.Failure("This run names no corpus: materialise a partition of the asset.", allow_retries=False)
        run = context.run.run_id
        with correlated(run, corpus=context.partition_key), listing_once(run), failing_clearly():
            yield open_corpus(self.settings(), context.partition_key)

    @contextmanager
    def writing(
        self, context: dg.OpExecutionContext | dg.AssetCheckExecutionContext, *, shards: int = 1
    ) -> Iterator[tuple[Corpus, CorpusWriter]]:
        """Open the run's corpus with its lease in hand, which stays with the run for its other steps.

        `shards`: the step is one of so many that may work at once.
        """
        with self.reading(context) as corpus:
            execution = self.settings().execution
            wait = corpus.settings.lease_wait.total_seconds()
            budget, is_gone = corpus.settings.budget, _ended(context)
            share = float(context.run.tags.get(SHARE_TAG, "1")) / execution.at_once(shards)
            step_back(budget.cpu_share * share, budget.nice)
            allowance = _allowance(context, budget, share, execution.per_step)
            run, process = context.run.run_id, _process(context)
            with writing(corpus.store, run, wait=wait, is_gone=is_gone, allowance=allowance, process=process) as writer:
                yield corpus, writer


def _process(context: dg.OpExecutionContext | dg.AssetCheckExecutionContext) -> Process:
    """Return the process without which the run is over: the one it is marked with, else this one, which marks it."""
    run = context.instance.get_run_by_id(context.run.run_id)
    marked = process_of(run) if run is not None else None
    if run is not None and marked is None:
        mark_run(context.instance, run.run_id)
    return marked or Process.current()


def _allowance(
    context: dg.OpExecutionContext | dg.AssetCheckExecutionContext, budget: BudgetSettings, share: float, per_step: int
) -> Allowance:
    """Return what the run may use: the corpus's budget, its share of what it splits with others, until its deadline."""
    tags = context.run.tags
    memory = int(budget.max_memory * share) if budget.max_memory is not None else None
    if tags.get(MODE_TAG, "progressive") != "progressive":
        return Allowance(max_memory=memory, per_step=per_step)
    record = context.instance.get_run_record_by_id(context.run.run_id)
    started = record.start_time if record is not None and record.start_time is not None else time.time()
    ends = [float(tags[DEADLINE_TAG])] if DEADLINE_TAG in tags else []
    ends += [started + budget.max_minutes * 60] if budget.max_minutes is not None else []
    return Allowance(budget.max_documents, min(ends, default=None), memory, per_step)


def _ended(context: dg.OpExecutionContext | dg.AssetCheckExecutionContext) -> Callable[..., bool]:
    return lambda holder: run_has_ended(context.instance, holder.owner)


@contextmanager
def failing_clearly() -> Iterator[None]:
    """Show a person the message of a deliberate error, not its traceback; retrying as it is would not help."""
    try:
        yield
    except RagAssetsError as error:
        metadata: dict[str, Any] = {"error": type(error).__name__, "exit_code": error.exit_code}
        raise dg.Failure(description=str(error), metadata=metadata, allow_retries=False) from error
    except OSError as error:
        if error.errno is None:
            raise
        where = f" {error.filename}" if error.filename else ""
        raise dg.Failure(
            description=f"{error.strerror}:{where or ' (no file named)'}",
            metadata={"error": type(error).__name__, "exit_code": 2},
        ) from error
