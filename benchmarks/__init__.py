"""How fast rag-assets is, each time against a baseline measured in the same run.

    python -m benchmarks [NAME …] [--full] [--profile]

One module a benchmark, each with a `run` that yields rows (`measure.Row`). `data` and `made` hold what they run on,
`report` draws what `results/` keeps. `chunking` is a command of its own: it measures quality, not speed.
"""
