"""The ecosystems: one package each, all of one shape.

`section.py` is the ecosystem's part of the recipe, `resolve.py` turns it into catalogue items through a `Transport`,
`publish.py` says what the crate serves for those items. `mirror.files` is the smallest; read it first.
"""
