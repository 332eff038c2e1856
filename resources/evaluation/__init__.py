"""How good the answers are: metrics per query and pipeline, their report, and the gate that compares two of them.

Here: everything that is computed from judged queries. Not here: where those come from (sources), and what follows from
the gate's decision (publishing).
"""
