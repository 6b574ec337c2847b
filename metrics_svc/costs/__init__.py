"""What requests cost, and what the same tokens would have cost elsewhere."""
