"""The software-defined assets, one module each, and the two shapes they share (`shapes`). No logic of theirs is here:
each hands the run's corpus to its module in `resources.materialisation`."""
