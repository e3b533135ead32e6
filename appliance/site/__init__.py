"""The site: which machines there are, how they are reached, and what they shall become."""
