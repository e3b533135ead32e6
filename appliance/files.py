"""/files/ itself: a list of what recipes name under `[[files]]`. The files are served like everything published."""

from __future__ import annotations

import json

from aiohttp import web

from appliance.registry.errors import Refusal, Unauthorized
from appliance.registry.service import Registry

_FOLDER = "files"


def add_files(application: web.Application, registry: Registry) -> None:
    """GET of /files/: path below it, size and sha256 of each, as JSON."""

    async def list_files(request: web.Request) -> web.Response:
        try:
            caller = await registry.callers.identify(request)
            access = registry.access
            if not access.may_list(caller):
                raise Unauthorized("files are not open here", headers=registry.callers.challenge(request))
        except Refusal as refusal:
            return refusal.response()
        listed = [
            {
                "path": file.path.removeprefix(f"{_FOLDER}/"),
                "size": file.size,
                "sha256": file.sha256,
                "mediaType": file.media_type,
            }
            for file in registry.paths.below(_FOLDER)
            if access.may_read(caller, file.path)
        ]
        return web.Response(body=json.dumps(listed, indent=1).encode(), content_type="application/json")

    application.router.add_get(f"/{_FOLDER}/", list_files)
