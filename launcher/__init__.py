"""Everything as one command: `lair up` and its relatives.

The top layer. Of the services it knows each package's `main` only.
"""
