"""What was used: one record for each request, and the reports made of them."""
