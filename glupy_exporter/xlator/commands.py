"""How programs are run: with nothing of the caller's, who may be root.

The current directory, ``PYTHONPATH`` and ``PATH`` may lead to code that another user has put there.
"""

DIRECTORY = "/"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
"""``/usr/local``, where a GlusterFS built from its source is, comes last: it hides nothing."""

ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C"}
