"""The OCI registry (distribution-spec 1.1): what crates brought and what people push, under one set of names.

paths        the grammar of URLs: a path becomes a `Target`
errors       refusals, with the specification's codes and their statuses
names        which repository a request means: `?ns=`, Docker Hub's short names, the crate's own
contents     what is held: tags, manifests, blobs, referrers
callers      who asks: tokens, challenges, docker's token service
pulling, listing, uploading, pushing    the handlers, by what a client is about
service      what the handlers share
endpoints    the table of methods and targets that leads a request to its handler
"""
