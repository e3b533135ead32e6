"""Which waves a task consists of. Each is a module that ends in `WAVE`; a run loads only those it needs."""

from __future__ import annotations

from importlib import import_module

from deploys.order import Order
from deploys.running import Wave

_DEPLOY = {
    "preflight": "deploys.preflight.wave",
    "base": "deploys.base.wave",
    "server": "deploys.k3s.server",
    "agents": "deploys.k3s.agents",
    "cluster": "deploys.cluster.wave",
    "verify": "deploys.verify.wave",
}
# in these the order's `waves` do not count
_TASKS = {
    "reset": ("deploys.k3s.reset", "deploys.base.undo"),
    "remove": ("deploys.k3s.remove", "deploys.k3s.reset", "deploys.base.undo"),
}


def waves(order: Order) -> list[Wave]:
    """The waves of an order, in the order in which they run whatever the order in which it names them."""
    names = _TASKS.get(order.task) or [module for name, module in _DEPLOY.items() if name in order.waves]
    return [wave(name) for name in names]


def wave(module: str) -> Wave:
    """The `WAVE` of a module."""
    found = import_module(module).WAVE
    if not isinstance(found, Wave):
        raise TypeError(f"{module}.WAVE is no wave")
    return found
