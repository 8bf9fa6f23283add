#!/bin/sh
# What the tests need of the machine itself; everything else they install into .cache/. Does nothing where all is there.
# Missing packages are installed with apt, as root only. Without Go or a JDK the tests of those languages are skipped,
# without skopeo and docker-registry those of container images with other software, and without a broker those of
# mappings that read it.
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
want redis-server redis-server
want nats-server nats-server
want rabbitmqctl rabbitmq-server
want mvn maven
want mosquitto mosquitto
[ -n "$(ls /usr/lib/postgresql/*/bin/postgres 2>/dev/null)" ] || missing="$missing postgresql"
python3 -c "import ensurepip, venv" >/dev/null 2>&1 || missing="$missing python3-venv"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "not installed, and this user cannot:$missing (some tests will fail or be skipped)" >&2
    exit 0
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# The brokers are started by the tests that need them, each its own, and not as services of this machine.
export RUNLEVEL=1
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -qq -y --no-install-recommends $missing >/dev/null
