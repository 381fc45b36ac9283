#!/bin/sh
# Installs Debian's chromium, in which the tests look at the page, unless one is there.
exec sh "$(dirname "$0")/install-package.sh" "chromium fonts-dejavu-core" chromium
