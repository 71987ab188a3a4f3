#!/bin/sh
# Installs the Debian packages that are missing, of those that the demo needs and those named as
# arguments.
set -eu

missing=""
for package in \
    gcc glusterfs-server libc6-dev libglusterfs-dev libssl-dev libtirpc-dev liburcu-dev \
    pkg-config prometheus python3-venv uuid-dev "$@"
do
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) || true
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "packages are missing:$missing; run this as root, or install them first" >&2
    exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086  # a list of words
apt-get install -qq --yes --no-install-recommends $missing >/dev/null

# The packages start a Prometheus on port 9090, and others, now and at every boot. The demo runs
# a Prometheus of its own.
for service in prometheus prometheus-alertmanager victoria-metrics; do
    case " $missing " in
        *" $service "*)
            service "$service" stop
            update-rc.d "$service" disable
            ;;
    esac
done
