"""Names and time for the site: dnsmasq and chrony on the appliance, and a clock that does not go back."""
