"""`lair stats` and `lair wrapped`: what was used, in a terminal, as files and as a card.

Every command asks a running lair, as any client would.
"""
