"""What is wrong with the appliance, in words, and what to do about it: a list of small checks (docs/health.md)."""
