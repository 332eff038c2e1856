"""From text to vectors: tokenizer, model identity, encoder, and the compact form in which token vectors are kept.

Nothing here knows of documents, stores or Dagster, and nothing here decides how text is cut into chunks.
"""
