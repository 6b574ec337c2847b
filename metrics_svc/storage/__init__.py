"""Where counted requests are kept."""
