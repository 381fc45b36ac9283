#!/bin/sh
# Installs packages of Debian's that the tests talk to, unless their commands are there:
#
#     sh tests/support/install-package.sh "PACKAGE..." COMMAND...
set -eu

packages=$1
shift

fail() {
    echo "install-package: $1; install by hand: $packages, then run this again" >&2
    exit 1
}

PATH="$PATH:/usr/sbin:/sbin"
missing=
for name in "$@"; do
    command -v "$name" >/dev/null || missing=$name
done
[ -n "$missing" ] || exit 0
command -v apt-get >/dev/null || fail "no apt-get here"

as_root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "neither root nor sudo here"
    as_root=sudo
fi

# The tests start servers of their own; one more as a service is not wanted.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod +x "$policy"
    trap '$as_root rm -f "$policy"' EXIT
fi

install() {
    # shellcheck disable=SC2086 # a list
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages >/dev/null
}

if ! install; then
    $as_root apt-get update >/dev/null || fail "apt-get update failed"
    install || fail "apt-get install failed"
fi
