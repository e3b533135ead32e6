"""`helm cm-push` and curl: ChartMuseum's API, where a POST of a packed chart publishes it."""

from __future__ import annotations

from aiohttp import BodyPartReader, web

from appliance import contributing
from appliance.receiving.answers import answering, check_right, publisher
from appliance.receiving.bodies import MALFORMED, BrokenUpload, part, removed, whole
from appliance.registry.service import Registry

PATH = "/helm/api/charts"


def add_charts(application: web.Application, registry: Registry) -> None:
    async def upload(request: web.Request) -> web.StreamResponse:
        caller = await publisher(registry, request)
        received = await _chart(registry, request)
        async with removed(received):
            added = await registry.write(contributing.items, received, "the chart", "chart")
            check_right(registry, caller, f"charts/{added[0].name}")
            await registry.write(contributing.publish, registry.store, [received], added, caller.name)
        return web.json_response({"saved": True}, status=201)

    application.router.add_post(PATH, answering(upload))


async def _chart(registry: Registry, request: web.Request) -> contributing.Received:
    """The body itself, or the field `chart` of a form. Raises `BrokenUpload`."""
    if request.content_type != "multipart/form-data":
        return await whole(registry, request)
    try:
        async for each in await request.multipart():
            if isinstance(each, BodyPartReader) and each.name == "chart":
                return await part(registry, each)
    except MALFORMED as error:
        raise BrokenUpload(f"the form cannot be read: {error}") from error
    raise BrokenUpload("the form holds no chart: a field `chart` is wanted")
