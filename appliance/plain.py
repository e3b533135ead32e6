"""The plain HTTP port: what a client needs before it trusts the crate, and what a digest or signature protects anyway.

Nothing here takes credentials or changes anything.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from appliance.artifacts import add_artifacts
from appliance.health import add_health
from appliance.mirrors import SIGNED, add_catch_all, add_mirrors
from appliance.registry.endpoints import BY_DIGEST, add_registry
from appliance.registry.service import Registry


def plain_application(registry: Registry, authority: Callable[[], bytes]) -> web.Application:
    """`authority` gives the PEM that /ca.pem answers with."""
    application = web.Application()
    add_authority(application, authority)
    add_health(application, registry.store)
    add_registry(application, registry, BY_DIGEST)
    add_mirrors(application, registry, SIGNED)
    add_artifacts(application, registry)
    add_catch_all(application, registry)
    return application


def add_authority(application: web.Application, authority: Callable[[], bytes]) -> None:
    async def get_authority(_request: web.Request) -> web.Response:
        return web.Response(body=authority(), content_type="application/x-pem-file")

    application.router.add_get("/ca.pem", get_authority)
