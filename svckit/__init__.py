"""What every service process is made of: settings, logs, gRPC, SQLite, delivery.

The bottom layer. It knows `lair.common` and no service.
"""
