"""Backups: what a dead card would take with it and no stick brings back (docs/health.md has the format)."""
