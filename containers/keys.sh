#!/bin/sh
# Make the keys of the lab, once: the hosts' into /etc/lab, the log-in and the known hosts into /access.
# usage: keys.sh UID-OF-THE-ORCHESTRATOR HOST…
set -eu
owner=$1
shift

make_key() { [ -e "$1" ] || ssh-keygen -q -t ed25519 -N '' -C "$2" -f "$1"; }

make_key /access/capture_ed25519 vanishpoint-lab
: >/access/known_hosts.new
for host; do
    make_key "/etc/lab/$host" "$host"
    read -r kind key _ <"/etc/lab/$host.pub"
    echo "$host $kind $key" >>/access/known_hosts.new
done
mv /access/known_hosts.new /access/known_hosts
chown -R "$owner:$owner" /access
chmod 700 /access
# Hosts wait for this file, so it comes last.
cp /access/capture_ed25519.pub /etc/lab/authorized_keys.new
chown 0:0 /etc/lab/authorized_keys.new
mv /etc/lab/authorized_keys.new /etc/lab/authorized_keys
