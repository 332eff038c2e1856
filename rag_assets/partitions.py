"""The one partition dimension: a corpus.

Never a document (Dagster's ceiling is 100,000 keys) and never a shard of work.
"""

import dagster as dg

from sensors.graph import PARTITIONS

CORPUS = dg.DynamicPartitionsDefinition(name=PARTITIONS)
