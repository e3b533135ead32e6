"""Helm charts: from HTTP repositories, OCI registries and folders, served as an HTTP repository and as OCI artifacts.

A chart is whole when everything its Chart.yaml depends on lies inside it. A folder is made whole as it is packed; one
from upstream that is not whole fails the build, because helm would refuse it on site.
"""
