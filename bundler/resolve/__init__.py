"""From a recipe to items: every image, file and release asset pinned to digests, for every platform."""
