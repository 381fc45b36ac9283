#!/bin/sh
# Installs AsyncAPI's own parser into the folder named, for the test of docs/asyncapi.json.
# Where it cannot be had that test is skipped, so this is no reason to stop.
set -u

give_up() {
    echo "install-asyncapi-parser: $1; the test with AsyncAPI's parser will be skipped" >&2
    exit 0
}

folder=$1
[ -d "$folder/node_modules/@asyncapi/parser" ] && exit 0

sh "$(dirname "$0")/install-package.sh" "nodejs npm" node npm || give_up "no node and npm here"

# Scripts of packages are not run: one of them sends statistics.
npm install --prefix "$folder" --ignore-scripts --no-audit --no-fund --silent \
    @asyncapi/parser@3.6.3 >/dev/null || give_up "npm install failed"
