"""`lair memory`: search, show, export and forget what was said; notes, pins, corrections.

Every command asks a running lair, as any client would.
"""
