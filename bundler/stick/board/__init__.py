"""The greater part of install.sh: from the head of a crate to a working crate-appliance, on a board without internet.

These modules travel as text, one behind the other, inside install.sh, for which the card vouches. They have Python's
standard library and ssh-keygen to work with, nothing else of this repository, and no two of them may define one name.
What they read of the stick is, in this order: crate.json and its signatures; then, once a key of the card has signed
that, the boot files for this machine, each compared with the sha256 in crate.json before anything looks into it. Where
those lie follows from crate.json alone (docs/format.md).
"""
