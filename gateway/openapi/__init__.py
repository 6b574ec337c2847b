"""The OpenAPI document of all that the gateway serves.

`operations` has one entry for each route, `schemas` what other people's APIs ask and
answer; all else (paths, parameters, keys, what lair itself asks and answers) is taken
from the code that serves it.
"""
