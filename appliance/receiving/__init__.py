"""What people's own tools send to publish: `twine upload`, `uv publish`, `npm publish`, `helm cm-push`.

Each of them has a protocol of its own and one way of being told no; what is published is decided by the file alone.
Images are pushed to the registry, and charts with `helm push`; .debs and files come by `crate-appliance add`.
"""

from __future__ import annotations

from aiohttp import web

from appliance.receiving.charts import add_charts
from appliance.receiving.npm import add_npm
from appliance.receiving.pypi import add_pypi
from appliance.registry.service import Registry


def add_receiving(application: web.Application, registry: Registry) -> None:
    """The addresses that take uploads; all of them want a publisher."""
    for add in (add_pypi, add_npm, add_charts):
        add(application, registry)
