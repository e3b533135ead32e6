"""The ground floor: digests, references, platforms, the `.crate` format and the signature on it.

Nothing here opens a network connection or knows a daemon, and the only third-party library is `cryptography`
(with `bcrypt`, which it asks for when a private key has a passphrase). The other packages stand on this one.
"""
