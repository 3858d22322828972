#!/bin/sh
# vanishpoint-capture: lets one unprivileged user capture packets, and nothing else, through `sudo -n`.
#
# For hosts where file capabilities on a copy of tcpdump are not wanted. An administrator installs it once:
#
#   install -o root -g root -m 0755 capture-wrapper.sh /usr/local/sbin/vanishpoint-capture
#   echo 'capture ALL=(root) NOPASSWD: /usr/local/sbin/vanishpoint-capture' > /etc/sudoers.d/vanishpoint
#   chmod 0440 /etc/sudoers.d/vanishpoint && visudo -c
#
# What it grants: to read packets of every interface named in ALLOWED below, for at most MAX_SECONDS.
# What it does not: root opens no file that the user named; the capture goes to standard output, which is the user's
# own file. tcpdump gets no option that the user chose but an interface, three numbers and a filter, each validated.
# Nothing of the environment is used. Only processes started here are signalled, and only for the user who started them.
#
#   vanishpoint-capture start NAME MAX INTERFACE SNAPLEN BUFFER_KIB FILTER   until stdin closes, MAX seconds, or stop
#   vanishpoint-capture stop NAME                                            SIGINT; tcpdump prints its counters
#   vanishpoint-capture stats NAME                                           SIGUSR1; tcpdump prints counters so far
#   vanishpoint-capture check INTERFACE FILTER                               does the filter compile here?
#   vanishpoint-capture sweep [RUN]       ends this user's captures of RUN, or those whose wrapper was killed
#
# Exit codes: tcpdump's own, 64 bad arguments, 65 not running, 66 already running.

set -u -f
umask 077
IFS=' 	
'
LC_ALL=C
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH

ALLOWED='*'         # interfaces that may be captured on, as a shell pattern: 'eth0|eth1' becomes 'eth[01]'
MAX_SECONDS=2678400 # no capture lasts longer than 31 days
STATE=/run/vanishpoint-capture

refuse() {
    echo "vanishpoint-capture: $1" >&2
    exit "${2:-64}"
}

need_count() { [ "$1" -eq "$2" ] || refuse 'wrong number of arguments'; }

need_name() { # RUN@POINT
    case $1 in *[!A-Za-z0-9._@-]* | *@*@* | .* | -* | @* | *@) refuse 'bad name' ;; *@*) ;; *) refuse 'bad name' ;; esac
    [ ${#1} -le 130 ] || refuse 'bad name'
}

need_run() {
    case $1 in '' | .* | -* | *[!A-Za-z0-9._-]*) refuse 'bad run id' ;; esac
    [ ${#1} -le 64 ] || refuse 'bad run id'
}

need_interface() {
    case $1 in '' | -* | .* | *[!A-Za-z0-9._:@-]*) refuse 'bad interface' ;; esac
    [ ${#1} -le 32 ] || refuse 'bad interface'
    # shellcheck disable=SC2254  # it is a pattern on purpose
    case $1 in $ALLOWED) ;; *) refuse "capturing on $1 is not allowed" ;; esac
}

need_number() { # VALUE LOW HIGH
    case $1 in '' | *[!0-9]* | ????????????*) refuse 'bad number' ;; esac
    [ "$1" -ge "$2" ] && [ "$1" -le "$3" ] || refuse "number $1 is not from $2 to $3"
}

need_filter() {
    [ ${#1} -le 65536 ] || refuse 'filter too long'
    case $1 in *[!]A-Za-z0-9\ .:/_\(\)\[\&\|\!\<\>=+*%^~,\\-]*) refuse 'bad filter' ;; esac
}

born() { # PID: when it started, so that a pid that is used again is not taken for ours
    [ -r "/proc/$1/stat" ] || return 1
    read -r stat <"/proc/$1/stat"
    # shellcheck disable=SC2086  # fields; the name in parentheses is cut off first, it may hold blanks
    set -- ${stat##*) }
    echo "${20}"
}

tcpdump_of() { # NAME: prints the pid of its tcpdump if that runs
    file=$STATE/$OWNER/$1
    [ -f "$file" ] && read -r pid when <"$file" || return 1
    [ -n "${when:-}" ] && [ "$(born "$pid")" = "$when" ] && echo "$pid"
}

catches_usr1() { # a tcpdump that has not yet set its handler would die of the signal
    case $(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null) in *[2367abef]??) return 0 ;; esac
    return 1
}

do_start() {
    need_count $# 6
    need_name "$1"
    need_number "$2" 1 $MAX_SECONDS
    need_interface "$3"
    need_number "$4" 0 262144
    need_number "$5" 64 4194304
    need_filter "$6"
    mkdir -p "$STATE/$OWNER"
    tcpdump_of "$1" >/dev/null && refuse 'already running' 66
    file=$STATE/$OWNER/$1
    rm -f "$file" "$file.wrapper"
    echo "$$ $(born $$)" >"$file.wrapper"
    exec 3<&0
    cat <&3 >/dev/null 2>&1 & # ends when the caller is gone
    caller=$!
    # The shell that becomes tcpdump notes itself: `timeout` keeps its child's pid to itself.
    timeout -s INT -k 5 $(($2 + 10)) sh -c '
        set -f
        read -r stat <"/proc/$$/stat"
        file=$0 pid=$$
        begin=${stat##*) }
        i=19
        while [ $i -gt 0 ]; do begin=${begin#* } i=$((i - 1)); done
        echo "$pid ${begin%% *}" >"$file"
        exec tcpdump "$@"' \
        "$file" -i "$3" -n -s "$4" -B "$5" --time-stamp-precision=nano -w - -- "$6" </dev/null 3<&- &
    job=$!
    trap '' HUP PIPE
    trap 'end_capture "$1"' INT TERM
    while kill -0 $job 2>/dev/null; do
        sleep 1 3<&-
        pid=$(tcpdump_of "$1") && catches_usr1 "$pid" && kill -USR1 "$pid"
        kill -0 $caller 2>/dev/null || end_capture "$1"
    done
    wait $job
    code=$?
    kill $caller 2>/dev/null
    rm -f "$file" "$file.wrapper"
    exit $code
}

end_capture() {
    pid=$(tcpdump_of "$1") && kill -INT "$pid"
}

do_stop() {
    need_count $# 1
    need_name "$1"
    end_capture "$1" || refuse 'not running' 65
}

do_stats() {
    need_count $# 1
    need_name "$1"
    pid=$(tcpdump_of "$1") && catches_usr1 "$pid" && kill -USR1 "$pid" || refuse 'not running' 65
}

do_check() {
    need_count $# 2
    need_interface "$1"
    need_filter "$2"
    exec tcpdump -i "$1" -d -- "$2"
}

do_sweep() {
    [ $# -le 1 ] || refuse 'wrong number of arguments'
    [ $# -eq 0 ] || need_run "$1"
    [ -d "$STATE/$OWNER" ] || exit 0
    ls "$STATE/$OWNER" | while IFS= read -r name; do
        case $name in *.wrapper) continue ;; esac
        if [ $# -eq 1 ]; then
            [ "${name%@*}" = "$1" ] || continue
        else
            read -r wrapper when <"$STATE/$OWNER/$name.wrapper" 2>/dev/null || wrapper=0 when=0
            [ "$(born "$wrapper")" = "$when" ] && continue
        fi
        end_capture "$name" && echo "swept $name"
        rm -f "$STATE/$OWNER/$name" "$STATE/$OWNER/$name.wrapper"
    done
}

[ "$(id -u)" = 0 ] || refuse 'must run as root: sudo -n vanishpoint-capture' 77
OWNER=${SUDO_UID:-0}
case $OWNER in '' | *[!0-9]*) refuse 'bad SUDO_UID' ;; esac
[ $# -ge 1 ] || refuse 'start, stop, stats, check or sweep'
verb=$1
shift
case $verb in
start | stop | stats | check | sweep) "do_$verb" "$@" ;;
*) refuse 'start, stop, stats, check or sweep' ;;
esac
