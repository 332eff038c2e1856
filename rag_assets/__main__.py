"""`python -m rag_assets` is `rag-assets`."""

from rag_assets.cli.app import main

main()
