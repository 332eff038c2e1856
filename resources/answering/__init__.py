"""From ranked passages to an answer with citations.

Here: what is said, and where it stands in which document. Not here: how passages are found (`resources.retrieval`).
"""
