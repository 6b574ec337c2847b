"""Tells an OpenTelemetry collector of requests, where one is configured.

`names` has the words of the conventions, `spans` makes a request's record into them, and
`export` sends them by the SDK of the extra `otlp`. All of it is after the answer.
"""
