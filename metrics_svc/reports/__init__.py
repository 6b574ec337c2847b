"""Reports: pure functions from counted use to what a dashboard shows."""
