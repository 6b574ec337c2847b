"""Counted requests as files to take elsewhere: CSV, JSON lines, a zip of both."""
