"""One file for each kind of server that answers for models."""
