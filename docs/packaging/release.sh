#!/bin/sh
# `make release`: the last commit as a wheel, an sdist, a package for the Debian that this runs on, and their checksums.
# The same commit gives the same bytes.
set -eu
cd "$(dirname "$0")/../.."
build=$PWD/.venv/bin/pyproject-build dist=$PWD/dist tree=$PWD/build/release/tree
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH LC_ALL=C.UTF-8 TZ=UTC
umask 022

rm -rf build/release dist
mkdir -p "$tree" dist
git archive HEAD | tar -x -C "$tree"
cd "$tree"
"$build" --outdir "$dist"

mv docs/packaging/debian debian
cat > debian/changelog <<END
reconciler ($(sed -n 's/^__version__ = "\(.*\)"/\1/p' reconciler/__init__.py)) unstable; urgency=medium

  * What is new is in CHANGELOG.md.

 -- $(sed -n 's/^Maintainer: //p' debian/control)  $(date --rfc-email --date="@$SOURCE_DATE_EPOCH")
END
dpkg-checkbuilddeps 2>&1 || {
    echo "Installing what builds packages with apt-get"
    apt-get update -qq
    apt-get build-dep -qq -y --no-install-recommends ./
}
dpkg-buildpackage --build=binary --no-sign
mv ../*.deb "$dist"

cd "$dist"
sha256sum -- *.* > SHA256SUMS
cat SHA256SUMS
