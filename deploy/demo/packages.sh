#!/bin/sh
# Installs the Debian packages that are missing, of those that the demo needs and those named as
# arguments.
set -eu
. "$(dirname "$0")/../apt.sh"

missing=""
for package in \
    gcc glusterfs-server libc6-dev libglusterfs-dev libssl-dev libtirpc-dev liburcu-dev \
    pkg-config prometheus python3-venv uuid-dev "$@"
do
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) || true
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

# shellcheck disable=SC2086  # a list of words
with_apt "${missing# }" install $missing

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
