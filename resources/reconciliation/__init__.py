"""Looking before acting: what the store holds (`observe`), how that differs from what should be (`diff`, `analyse`).

Everything here only reads. An unreachable store or source is an error, never an empty state. Repairing is
materialising: see `resources.materialisation`.
"""
