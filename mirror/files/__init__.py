"""Files by name: `[[files]]` of the recipe, served below `/files/`. The smallest ecosystem, and the pattern."""
