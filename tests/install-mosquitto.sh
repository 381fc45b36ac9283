#!/bin/sh
# Installs Debian's mosquitto, which the tests talk to, unless it is there.
set -eu

fail() {
    echo "install-mosquitto: $1; install the package mosquitto by hand, then run this again" >&2
    exit 1
}

PATH="$PATH:/usr/sbin:/sbin"
command -v mosquitto >/dev/null && command -v mosquitto_passwd >/dev/null && exit 0
command -v apt-get >/dev/null || fail "no apt-get here"

as_root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "neither root nor sudo here"
    as_root=sudo
fi

# The tests start brokers of their own; one more as a service is not wanted.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod +x "$policy"
    trap '$as_root rm -f "$policy"' EXIT
fi

if ! $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends mosquitto >/dev/null; then
    $as_root apt-get update >/dev/null || fail "apt-get update failed"
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends mosquitto >/dev/null ||
        fail "apt-get install failed"
fi
