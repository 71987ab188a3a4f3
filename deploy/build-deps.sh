#!/bin/sh
# Installs what debian/control says that a build of the packages needs, as far as it is missing.
set -eu
cd "$(dirname "$0")"

if command -v dpkg-checkbuilddeps >/dev/null && dpkg-checkbuilddeps; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "packages are missing; run this as root, or as root: apt-get build-dep ./deploy" >&2
    exit 1
fi
echo "installing what the build needs"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get build-dep -qq --yes --no-install-recommends . >/dev/null
