"""Memory in one SQLite file, with FAISS as a cache of its vectors."""
