"""apt: Debian archives, from a signed InRelease upstream to a signed partial repository on the crate.

In the order in which a build passes through: `section` (the recipe), `sources` (where upstream is), `release` and
`upstream` (what of it is believed), `packages` and `universe` (what there is to choose from), `solver` (what is
chosen), `resolve` (all of it together), `replay` (apt's own opinion of the result), `publish` (what the crate serves).
"""
