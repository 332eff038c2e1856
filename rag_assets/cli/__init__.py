"""The command line. Commands parse, call and print; what they print comes from `resources` and `rag_assets`."""
