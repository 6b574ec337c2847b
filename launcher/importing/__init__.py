"""Reads the histories of other programs and brings them into lair: `lair import`.

files ──▶ conversations ──▶ turns ──▶ memory_svc and metrics_svc
kinds.py, one module       turns.py   wire.py, sending.py
for each format            (a tree, flattened)
"""
