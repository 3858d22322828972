# Install what is missing; sourced by ./quickstart and ./test. Idempotent, asks nothing, starts nothing.
# usage: . requirements/setup.sh runtime|dev
# Sets: PYTHON (the interpreter of .venv), HAVE_ROOT (1 when the lab can run).

say() { printf '%s\n' "$*" >&2; }

HAVE_ROOT=0
SUDO=""
if [ "$(id -u)" = 0 ]; then
    HAVE_ROOT=1
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    SUDO="sudo -n"
fi

# command : Debian package that brings it
SYSTEM_TOOLS="tcpdump:tcpdump sshd:openssh-server ssh-keygen:openssh-client redis-server:redis-server nft:nftables
ip:iproute2 ping:iputils-ping setpriv:util-linux gcc:gcc tshark:tshark mergecap:wireshark-common zstd:zstd
ssh:openssh-client python3:python3"

# What only the tests need: other shells and other ways to the right to capture.
if [ "$1" = dev ]; then
    SYSTEM_TOOLS="$SYSTEM_TOOLS sudo:sudo busybox:busybox setcap:libcap2-bin useradd:passwd redis-cli:redis-tools"
fi

missing_packages() {
    for pair in $SYSTEM_TOOLS; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || [ -x "/usr/sbin/${pair%%:*}" ] || [ -x "/sbin/${pair%%:*}" ] || printf '%s ' "${pair#*:}"
    done
    [ -e /usr/include/stdio.h ] || printf 'libc6-dev '
}

# Packages bring services (sshd, Redis) that must not start here: what is needed runs on sockets of its own.
install_packages() {
    policy=/usr/sbin/policy-rc.d
    kept=""
    if [ -e $policy ]; then kept=$(mktemp); $SUDO cp -p $policy "$kept"; fi
    printf '#!/bin/sh\nexit 101\n' | $SUDO tee $policy >/dev/null
    $SUDO chmod 755 $policy
    status=0
    $SUDO env DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null >/dev/null 2>&1 || status=$?
    # shellcheck disable=SC2086
    $SUDO env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $1 </dev/null >&2 || status=$?
    if [ -n "$kept" ]; then $SUDO mv "$kept" $policy; else $SUDO rm -f $policy; fi
    if [ "$status" = 0 ] && command -v systemctl >/dev/null 2>&1; then
        case " $1 " in *" openssh-server "*) $SUDO systemctl disable --quiet ssh.service ssh.socket 2>/dev/null || true ;; esac
        case " $1 " in *" redis-server "*) $SUDO systemctl disable --quiet redis-server.service 2>/dev/null || true ;; esac
    fi
    return $status
}

packages=$(missing_packages)
if [ -n "$packages" ]; then
    if ! command -v apt-get >/dev/null 2>&1; then
        say "These packages are missing and this is no Debian or Ubuntu: $packages"
    elif [ "$HAVE_ROOT" = 1 ] || [ -n "$SUDO" ]; then
        say "installing $packages"
        install_packages "$packages" || { say "apt-get could not install: $packages"; exit 1; }
    else
        say "Missing: $packages. Installing them needs root; without them the lab and the end-to-end tests cannot run."
    fi
fi
if [ "$HAVE_ROOT" != 1 ]; then
    say "The lab and the end-to-end tests need root: they make network namespaces and start sshd in them. Everything else runs."
fi

find_python() {
    for name in python3.13 python3.12 python3.11 python3; do
        if command -v $name >/dev/null 2>&1 && $name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v $name
            return 0
        fi
    done
    return 1
}

unset PYTHONDONTWRITEBYTECODE
lock=requirements/$1.lock
stamp=.venv/.installed-$1
PYTHON=.venv/bin/python
if [ ! -x $PYTHON ] || [ "$(cat "$stamp" 2>/dev/null)" != "$(sha256sum <"$lock")" ]; then
    uv=$(command -v uv || true)
    if [ -n "$uv" ]; then
        [ -x $PYTHON ] || "$uv" venv -q --python '>=3.11' .venv
        "$uv" pip install -q --python $PYTHON --require-hashes -r "$lock"
    else
        if ! found=$(find_python); then
            if [ "$HAVE_ROOT" = 1 ] || [ -n "$SUDO" ]; then install_packages "python3 python3-venv"; fi
            found=$(find_python) || { say "Python 3.11 or newer with venv is needed: apt-get install python3 python3-venv"; exit 1; }
        fi
        [ -x .venv/bin/pip ] || "$found" -m venv --clear .venv
        $PYTHON -m pip install -q --disable-pip-version-check --no-input --require-hashes -r "$lock" >&2
    fi
    sha256sum <"$lock" >"$stamp"
    say "compiling bytecode"
    $PYTHON -m compileall -q -j 2 "$($PYTHON -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" >/dev/null 2>&1 || true
fi

# The project itself: a path file and the command, so that the checkout is what runs.
site=$($PYTHON -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
printf '%s\n' "$PWD" >"$site/vanishpoint.pth"
cat >.venv/bin/vanishpoint <<EOF
#!$PWD/.venv/bin/python
import sys
from orchestrator.cli.main import main
sys.exit(main())
EOF
chmod 755 .venv/bin/vanishpoint
$PYTHON -m compileall -q orchestrator probes lab bench
$PYTHON -m orchestrator.warmup || { say "the kernels could not be compiled"; exit 1; }
