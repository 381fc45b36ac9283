#!/bin/sh
# Installs Debian's mosquitto, which the tests talk to, unless it is there.
exec sh "$(dirname "$0")/install-package.sh" mosquitto mosquitto mosquitto_passwd
