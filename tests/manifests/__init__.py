"""Profiles, from their folders to what a cluster is given."""
