"""Scrubbing: every byte of the store read again and compared with its digest, and what is damaged mended."""
