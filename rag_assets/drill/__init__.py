"""The drill: damage a copy of a corpus in many ways, and watch each being found, repaired and gone.

`damage` holds the ways, `rehearse` makes the copy and plays them. The original is only read.
"""
