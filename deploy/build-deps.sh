#!/bin/sh
# Installs what debian/control says that a build of the packages needs, as far as it is missing.
set -eu
cd "$(dirname "$0")"
. ./apt.sh

if command -v dpkg-checkbuilddeps >/dev/null && dpkg-checkbuilddeps; then
    exit 0
fi
cd ..
with_apt "what the build needs" build-dep ./deploy
