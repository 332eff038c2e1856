"""From a question to ranked passages: what the indexes find, how their scores become one, and the pipelines by name.

Here: candidates, fusion, late interaction, diversity, and the view of a corpus they read. Not here: how indexes are
built (`resources.index`), how text becomes vectors (`resources.embedding`), sentences and citations
(`resources.answering`), and how good any of it is (`resources.evaluation`).
"""
