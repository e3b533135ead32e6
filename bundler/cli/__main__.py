"""`python -m bundler.cli`, for a checkout that is not installed."""

from bundler.cli import main

main()
