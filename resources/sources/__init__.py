"""Where documents come from: each module lists and fetches one kind of source; `registry` opens them by type.

Nothing here parses, chunks or stores. A source says which documents there are and hands over their bytes.
"""
