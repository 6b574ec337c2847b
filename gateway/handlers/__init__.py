"""One module for each group of paths; `gateway.app` lists which path goes where."""
