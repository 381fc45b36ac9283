#!/bin/sh
# Installs Debian's nats-server, of which some tests start a cluster, unless it is there.
exec sh "$(dirname "$0")/install-package.sh" nats-server nats-server
