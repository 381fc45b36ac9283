#!/bin/sh
# Builds the Debian package into dist/: build.sh ARCH PYTHON, for any architecture on any.
set -eu

arch=$1 PYTHON=$2
TREE=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
build=$TREE/build/deb

case $arch in
    amd64 | arm64) ;;
    *) echo "deb: architecture $arch; expected amd64 or arm64" >&2 && exit 2 ;;
esac
case $PYTHON in
    3.11) suite=bookworm release=12 ;;
    3.13) suite=trixie release=13 ;;
    *) echo "deb: Python $PYTHON; expected 3.11 (Debian 12) or 3.13 (Debian 13)" >&2 && exit 2 ;;
esac
if ! command -v dh >/dev/null; then
    echo "deb: needs sudo apt install debhelper" >&2
    exit 2
fi
# It fetches wheels for any machine, as Debian's tools for virtual environments do not.
PATH=$TREE/build/uv/bin:$PATH
if ! command -v uv >/dev/null; then
    python3 -m venv "$TREE/build/uv"
    "$TREE/build/uv/bin/pip" install --quiet 'uv>=0.8'
fi

# Of the commit, so that each build of it is the same.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$TREE" log -1 --format=%ct 2>/dev/null || stat -c %Y "$TREE/CHANGELOG.md")}
export SOURCE_DATE_EPOCH

version=$(python3 "$TREE/tools/version.py")+deb$release
rm -rf "$build"
mkdir -p "$build/edgepose" "$TREE/dist"
cp -r "$TREE/deploy/deb/debian" "$build/edgepose/"
cd "$build/edgepose"
cp "$TREE/systemd/edgepose.service" debian/edgepose.service
cp "$TREE/systemd/edgepose.sysusers" debian/edgepose.conf
cp "$TREE/deploy/udev/60-edgepose.rules" debian/edgepose.udev
cat >debian/changelog <<END
edgepose ($version) $suite; urgency=medium

  * As told in CHANGELOG.md.

 -- $(sed -n 's/^Maintainer: //p' debian/control)  $(date -R -u -d "@$SOURCE_DATE_EPOCH")
END
export PYTHON TREE
# -d: what Debian calls a cross compiler is not needed, wheels are compiled already.
dpkg-buildpackage --host-arch "$arch" -b -us -uc -d >"$build/log" 2>&1 || {
    cat "$build/log" >&2
    exit 1
}
mv "$build"/edgepose_*.deb "$TREE/dist/"
echo "dist/edgepose_${version}_$arch.deb"
