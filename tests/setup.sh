#!/bin/sh
# What the tests need of the machine itself; everything else they install into .cache/. Does nothing where all is there.
# Missing packages are installed with apt, as root only. Without Go or a JDK the tests of those languages are skipped,
# without skopeo and docker-registry those of container images with other software.
set -eu
missing=""
want() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
want cc gcc
want python3 python3
want node nodejs
want npm npm
want unshare util-linux
want javac default-jdk-headless
want go golang-go
want skopeo skopeo
want openssl openssl
want docker-registry docker-registry
python3 -c "import ensurepip, venv" >/dev/null 2>&1 || missing="$missing python3-venv"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "not installed, and this user cannot:$missing (some tests will fail or be skipped)" >&2
    exit 0
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -qq -y --no-install-recommends $missing >/dev/null
