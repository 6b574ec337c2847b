"""The service that owns what was said: conversations, and finding passages in them.

What was used (tokens, times, backends' health) belongs to `metrics_svc`.
"""
