"""The main job from a recipe to a pulled image, as a user would do it: `make demo`."""
