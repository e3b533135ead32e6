"""What people see: the page at /, the API below /api/v1/, metrics, and the log of what was asked of the daemon.

visitors.py   who looks, and from where; what protects a browser
overview.py   what the crate holds and whether all is well      nodes.py, runs.py   the cluster, and what is done to it
changes.py    what differs between two generations              space.py            the disk, and what could be freed
api.py        the table of the API; openapi.py describes it     pages.py            the same for people, as HTML
metrics.py    for Prometheus                                    access_log.py       a line for each request
"""
