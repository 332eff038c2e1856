"""What a command says of a run that failed."""

import dagster as dg

from rag_assets.runs import _outcome


def ended(error):
    @dg.op
    def fails():
        raise error

    @dg.job
    def job():
        fails()

    with dg.DagsterInstance.ephemeral() as instance:
        return _outcome(job.execute_in_process(instance=instance, raise_on_error=False))


def test_an_interruption_is_said_also_when_a_library_hands_it_on_as_its_own_error():
    said = "corpus default: table documents cannot be read: External error: DagsterExecutionInterruptedError: "
    outcome = ended(dg.Failure(said, metadata={"exit_code": 2}))
    assert outcome.exit_code == 2 and "was interrupted; what it committed is kept" in outcome.problem


def test_a_deliberate_error_is_its_own_line_and_exit_code():
    outcome = ended(dg.Failure("the bucket does not answer", metadata={"exit_code": 1, "error": "StoreError"}))
    assert (outcome.problem, outcome.exit_code, outcome.error) == ("the bucket does not answer", 1, "StoreError")


def test_any_other_error_is_unexpected():
    outcome = ended(IndexError("a bug"))
    assert outcome.exit_code == 2 and "unexpected error" in outcome.problem and "a bug" in outcome.problem
