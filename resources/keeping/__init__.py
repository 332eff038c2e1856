"""Moving and keeping whole corpora: copies in other stores, and archives. Read is live's snapshot, nothing else.

Not here: clearing away and compacting (`resources.materialisation.retention`).
"""
