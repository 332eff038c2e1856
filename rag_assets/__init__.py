"""What exists and what must hold: the parts of a knowledge base as Dagster assets, and the checks that audit them."""
