#!/bin/sh
# Installs the proxies of deploy/proxy, which a test runs before the page, unless they are there.
exec sh "$(dirname "$0")/install-package.sh" "nginx-light caddy" nginx caddy
