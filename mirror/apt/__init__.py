"""apt: Debian archives, from a signed InRelease upstream to a signed partial repository on the crate.

In the order in which a build passes through: `section` and `wishes` (the recipe), `sources` (where upstream is),
`release` and `upstream` (what of it is believed), `reading` (all of that for one section), `packages` and `universe`
(what there is to choose from), `solver` and `closure` (what is chosen), `replay` (apt's own opinion of it), `items`
(what goes into the catalogue), `publish` (what the crate serves). `resolve` leads through all but the last.
"""
