#!/bin/sh
# The demonstration: wait for the worker and the hosts, carry the playbook out, print the report.
set -eu
trap 'exit 143' TERM INT # a first process is not ended by a signal that it does not handle

within() { # TRIES COMMAND…: until it succeeds; the last failure is shown
    tries=$1
    shift
    while [ "$tries" -gt 1 ]; do
        "$@" >/dev/null 2>&1 && return
        tries=$((tries - 1))
        sleep 0.5
    done
    "$@"
}

within 40 vanishpoint worker --name lab --check
within 40 vanishpoint doctor /lab/playbook.yaml
echo "fault: the router has the rule \`${LAB_FAULT:-}\`"
exec vanishpoint run /lab/playbook.yaml
