"""What servers tell of their models and their work, one file for each flavour.

Each has a pure `parse` that survives whatever a server sends, and a `read` that fetches
what it needs beside the list of models. Nothing is inferred and no model is loaded.
"""
