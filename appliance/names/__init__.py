"""Names and time for the site: dnsmasq and chrony on the appliance, and a clock that does not go back."""

from __future__ import annotations

from appliance.names.setting_up import Report, setup, teardown

__all__ = ["Report", "setup", "teardown"]
