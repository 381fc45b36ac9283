#!/bin/sh
# Installs Prometheus, whose promtool tries our alert rules, unless it is there.
exec sh "$(dirname "$0")/install-package.sh" prometheus promtool
