"""Doubles of k3s, as releases that `[k3s]` of a recipe resolves to. Nothing here is k3s itself.

The light double (light.sh) keeps a cluster as files: a wave that installs, upgrades or removes k3s is tested with it in
seconds. The double (double.sh) has a real Kubernetes behind it: pods run. Both keep k3s's files, settings, refusals
and token (common.sh), and come as one file a platform, served where a release's assets would be (releases.py).
"""
