"""What makes a passage the answer to a question: pure functions, without storage or models."""
