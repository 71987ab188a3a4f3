"""How programs are run: with nothing of the caller's, who may be root.

The current directory, ``PYTHONPATH`` and ``PATH`` may lead to code that another user has put there.
"""

DIRECTORY = "/"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
