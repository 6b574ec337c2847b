"""Where a chat happens: which backend answers, and what is kept of it."""
