"""What clients write and read: JSON and SSE to contracts, and back.

Pure functions of values; who sends the bytes is the business of `gateway.handlers`.
"""
