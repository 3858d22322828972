#!/bin/sh
# Become one host of the lab: addresses, the way to the others, traffic, the fault; then sshd as first process.
# usage: host.sh client|router|server          the fault of the router: LAB_FAULT, an nft rule
#
#   client 10.77.1.10 ── client-net ── 10.77.1.1 lan  router  wan 10.77.2.1 ── server-net ── 10.77.2.10 server
set -eu
role=$1
SERVER=10.77.2.10
CLIENT_NET=198.51.100. # as in compose.yaml
SERVER_NET=203.0.113.

# A port of ours on the engine's interface, whose name depends on the engine. The address is ours as well: packets that
# are for one container, but come through another, are dropped by engines that know their addresses. No bridge: where
# the kernel filters bridged packets, a reset of the firewall would leave it by a side door that no capture sees.
port() { # NETWORK NAME ADDRESS/BITS
    device=$(ip -o -4 address show | awk -v net="$1" 'index($4, net) == 1 { print $2; exit }')
    [ -n "$device" ] || { echo "$role: no interface in $1*" >&2; exit 1; }
    ip address flush dev "$device"
    ip link set "$device" arp off # or it answers for our address, and takes in what captures wait for at ours
    ip link add link "$device" name "$2" type macvlan mode private
    ip address add "$3" dev "$2"
    ip link set "$2" up
}

as_nobody() { setpriv --reuid=nobody --regid=nogroup --clear-groups --inh-caps=-all --no-new-privs "$@"; }

again_and_again() { # PORT: use a service of the server as long as the lab runs
    while :; do
        as_nobody python3 /opt/lab/traffic.py connect $SERVER "$1" >/dev/null 2>&1 || true
        sleep 0.2 # a user who thinks
    done
}

case $role in
client)
    port $CLIENT_NET path 10.77.1.10/24
    ip route add 10.77.2.0/24 via 10.77.1.1
    again_and_again 8080 &
    again_and_again 8443 &
    ;;
router)
    port $CLIENT_NET lan 10.77.1.1/24
    port $SERVER_NET wan 10.77.2.1/24
    nft -f - <<RULES
table ip lab {
  chain through {
    type filter hook forward priority 0
    ${LAB_FAULT:-}
  }
}
RULES
    ;;
server)
    port $SERVER_NET path $SERVER/24
    ip route add 10.77.1.0/24 via 10.77.2.1
    as_nobody python3 /opt/lab/traffic.py echo 8080 8443 &
    ;;
*)
    echo "usage: host.sh client|router|server" >&2
    exit 2
    ;;
esac
ip route del default 2>/dev/null || true # there is no way out of the lab

waited=0
until [ -e /etc/lab/authorized_keys ]; do
    [ $waited -lt 600 ] || { echo "$role: nobody made the keys" >&2; exit 1; }
    waited=$((waited + 1))
    sleep 0.1
done
exec /usr/sbin/sshd -D -e -h "/etc/lab/$role"
