"""Runs a command apart from this machine: with mounts, processes and a network of its own.

In there nothing runs yet, glusterd has no volumes and ports are free. /etc and GlusterFS's own
directory are copies. So tests on real bricks may run side by side, and beside a glusterd of this
machine. Without root or GlusterFS the command runs as it is, and tests say what they lack.

Usage: ``python -m tests.support.apart COMMAND...``; the exit code is the command's.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from glupy_exporter.builder import build
from tests.support.mounts import WITHOUT_CLIENTS

# The shell stays, as it collects the processes whose parents have ended.
_INIT = (
    WITHOUT_CLIENTS
    + """
for directory in /run /var/lib/glusterd /var/lib/glupy-exporter /var/log/glusterfs; do
    mkdir -p "$directory"
    mount -t tmpfs tmpfs "$directory"
done
mkdir /run/lock
for directory in /etc "$2"; do
    mkdir -p "$1/copies$directory"
    cp --archive --no-target-directory "$directory" "$1/copies$directory"
    mount --bind "$1/copies$directory" "$directory"
done
echo "127.0.0.1 localhost $(hostname)" > /etc/hosts
ip link set lo up
mkdir --mode=1777 "$1/tmp"
# The checkout may be in there.
case $PWD in /var/tmp/*)
    mkdir -p "$1/tmp/${PWD#/var/tmp/}"
    mount --bind "$PWD" "$1/tmp/${PWD#/var/tmp/}" ;;
esac
mount --rbind "$1/tmp" /var/tmp
cd "$PWD"
shift 2
"$@"
"""
)
_UNSHARE = ("unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child")


def main(command: list[str]) -> int:
    """Run ``command`` and return its exit code."""
    if os.geteuid() != 0 or not shutil.which("glusterd"):
        os.execvp(command[0], command)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    installed = build.xlator_dir().parents[1]
    # On a disk, as a tmpfs need not have extended attributes of users.
    with tempfile.TemporaryDirectory(prefix="glupytest-", dir="/var/tmp") as work:
        Path(work).chmod(0o755)
        words = [*_UNSHARE, "sh", "-ec", _INIT, "sh", work, str(installed), *command]
        with subprocess.Popen(words) as process:
            try:
                return process.wait()
            finally:
                process.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
