#!/bin/sh
# Is this host of the lab healthy? sshd answers; the client also reaches the server through the router.
# usage: check.sh client|router|server
set -eu
ssh-keyscan -T 2 -t ed25519 127.0.0.1 2>/dev/null | grep -q ssh-ed25519
[ "$1" != client ] || python3 /opt/lab/traffic.py connect 10.77.2.10 8080 | grep -q '"connected": true'
