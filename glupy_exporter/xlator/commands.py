"""What the programs that root runs get from whoever called root: nothing.

The current directory, ``PYTHONPATH`` and a user's ``PATH`` lead to code that another user may have
put there.
"""

DIRECTORY = "/"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
