"""`python -m deploys`: carries out the order on standard input, and says on standard output what happens."""

import sys

from gevent import monkey

monkey.patch_all()

from deploys.child import main  # noqa: E402 - what it imports must find everything patched

sys.exit(main())
