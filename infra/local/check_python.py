"""Whether this Python can make our environment: one line of advice and status 1 when it can not."""

import sys

version = "{}.{}".format(*sys.version_info[:2])
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(f"error: Python 3.11, 3.12 or 3.13 is needed, this is {version}: make PYTHON=python3.12 ...")
try:
    import ensurepip  # noqa: F401
    import venv  # noqa: F401
except ImportError:
    sys.exit(f"error: this Python has no venv: apt-get install python{version}-venv")
