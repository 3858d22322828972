#!/bin/sh
# agent.sh: one capture on the host it runs on. POSIX sh; uploaded by probes/capture.py into a private directory
#
#   BASE/vanishpoint-UID/RUN@POINT/
#     agent.sh        this file                     cap.pcap   the capture
#     err             what tcpdump says             log        one line a second, read by `poll`
#     pid  super      tcpdump, and its supervisor   lease.N    renamed to N+1 by each poll
#     live            the capture runs; renamed to end.REASON.CODE when it has ended
#
# Renames instead of writes where it matters: a full disk must not keep a capture from being renewed, or from ending.
# Nothing here depends on the SSH connection, nothing trusts the clock of the host.
#
# verbs:  start BASE NAME PRIVILEGE MAX LEASE MIN_FREE_KIB MAX_FILE_KIB TCPDUMP-OPTIONS...
#         poll BASE NAME POSITION     stop BASE NAME     hash BASE NAME     remove BASE NAME
#         sweep BASE [RUN]            preflight BASE PRIVILEGE INTERFACE FILTER
# Answers are lines that start with a key word; `fail CODE TEXT` and exit code 10 when something is refused.

set -u
umask 077
LC_ALL=C
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
WRAPPER=/usr/local/sbin/vanishpoint-capture
IDLE_MINUTES=1440 # an ended capture that nobody touched for a day is what a crash left

fail() {
    printf 'fail %s %s\n' "$1" "$2"
    exit 10
}

prefixed() { # PREFIX < TEXT: each line with the prefix in front
    while IFS= read -r line || [ -n "$line" ]; do printf '%s %s\n' "$1" "$line"; done
}

# --- places ----------------------------------------------------------------------------------------------------------

owned() { # a directory of this user, no link, closed to all others
    [ -d "$1" ] && [ ! -L "$1" ] || return 1
    set -- $(ls -ldn "$1")
    case $1 in drwx------*) [ "$3" = "$(id -u)" ] ;; *) return 1 ;; esac
}

locate() { # BASE NAME: sets ROOT, NAME, D
    case $2 in '' | [!A-Za-z0-9]* | *[!A-Za-z0-9._@-]*) fail name "$2 is no name of a capture" ;; esac
    ROOT=$1/vanishpoint-$(id -u)
    NAME=$2
    D=$ROOT/$NAME
}

enter() { # BASE NAME: like locate, but the capture must be there
    locate "$1" "$2"
    [ -d "$D" ] || fail gone "$D does not exist"
    owned "$ROOT" && owned "$D" || fail directory "$D is not a private directory of $(id -un)"
}

discard() { # removes exactly the directory of this capture
    rm -rf -- "$D"
    rmdir "$ROOT" 2>/dev/null
    [ ! -e "$D" ]
}

# --- facts -----------------------------------------------------------------------------------------------------------

free_kib() { df -Pk "$1" 2>/dev/null | { read -r _ && read -r _ _ _ free _ && echo "$free"; }; }

file_bytes() {
    set -- $(ls -ln "$D/cap.pcap" 2>/dev/null)
    echo "${5:-0}"
}

uptime_s() { # whole seconds since boot; counted by the caller where there is no /proc
    if read -r up _ 2>/dev/null </proc/uptime; then echo "${up%.*}"; else echo "$1"; fi
}

ours() { # PID: is it alive, and does its command line name this capture? Process ids are used again.
    [ -n "$1" ] && [ -d "/proc/$1" ] || { [ ! -d /proc/self ] && [ -n "$1" ] && kill -0 "$1" 2>/dev/null; return; }
    case $(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline") in *"$NAME"*) return 0 ;; *) return 1 ;; esac
}

pid_in() { cat "$D/$1" 2>/dev/null; }

ending() { # prints "REASON CODE" if the capture has ended
    set -- "$D"/end.*
    [ -e "$1" ] || return 1
    set -- "${1##*/end.}"
    echo "${1%.*} ${1##*.}"
}

candidates() { # copies of tcpdump, the ones an administrator made for us first
    for t in /usr/local/lib/vanishpoint/tcpdump "${HOME:-/}/bin/tcpdump" "${HOME:-/}/tcpdump" "$(command -v tcpdump)"; do
        [ -f "$t" ] && [ -x "$t" ] && echo "$t"
    done
}

choose() { # PRIVILEGE INTERFACE: sets MODE (root, capabilities, wrapper, none), TCPDUMP, REFUSAL
    MODE=none TCPDUMP= REFUSAL=
    if [ "$(id -u)" = 0 ]; then
        TCPDUMP=$(command -v tcpdump) && [ -x "$TCPDUMP" ] && MODE=root
        return
    fi
    for t in $(candidates); do
        TCPDUMP=${TCPDUMP:-$t}
        [ "$1" = auto ] || [ "$1" = capabilities ] || continue
        # -d opens the interface and ends: only a missing right may send us on to the next copy.
        said=$("$t" -i "$2" -d 2>&1 >/dev/null)
        case $said in
        *ermission* | *"not permitted"*) REFUSAL=$said ;;
        *) MODE=capabilities TCPDUMP=$t && return ;;
        esac
    done
    [ "$1" = auto ] || [ "$1" = wrapper ] || return
    if ! command -v sudo >/dev/null || [ ! -x "$WRAPPER" ]; then
        said="sudo: $WRAPPER is not installed"
    elif said=$(sudo -n -l "$WRAPPER" 2>&1 >/dev/null); then
        MODE=wrapper
        return
    else
        said=${said:-"sudo: not allowed to execute $WRAPPER"}
    fi
    REFUSAL="${REFUSAL:+$REFUSAL
}$said"
}

version_of() { "$1" --version 2>&1 | head -n 1; }

# --- supervisor ------------------------------------------------------------------------------------------------------

interrupt() { # SIGINT to tcpdump itself: `timeout` and `sudo` do not pass every signal on
    if [ "$MODE" = wrapper ]; then
        sudo -n "$WRAPPER" stop "$NAME" >/dev/null 2>&1
    else
        p=$(pid_in pid)
        ours "$p" && kill -INT "$p" 2>/dev/null
    fi
}

ask_counters() { # SIGUSR1 kills a tcpdump that has not yet set its handler; the wrapper asks by itself
    [ "$MODE" = wrapper ] && return
    p=$(pid_in pid)
    grep -q 'listening on' "$D/err" 2>/dev/null && ours "$p" || return
    case $(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$p/status" 2>/dev/null) in
    '' | *[2367abef]??) kill -USR1 "$p" 2>/dev/null ;;
    esac
}

sample() { # sets FREE and BYTES, and appends: sample REALTIME_NS UPTIME_NS FREE_KIB FILE_BYTES LAST-LINE-OF-TCPDUMP
    ask_counters
    real=$(date +%s%N)
    up=
    read -r up _ 2>/dev/null </proc/uptime
    case $real in *[!0-9]*) real=$(date +%s)000000000 ;; esac # busybox knows no %N
    case $up in *.??) up=${up%.*}${up#*.}0000000 ;; *) up=- ;; esac
    FREE=$(free_kib "$D")
    [ "${FREE:-1024}" -ge 64 ] || : >"$D/full" # tcpdump itself says nothing when its writes fail
    BYTES=$(file_bytes)
    printf 'sample %s %s %s %s %s\n' "$real" "$up" "${FREE:--}" "$BYTES" "$(tail -n 1 "$D/err" 2>/dev/null)" >>"$D/log"
}

launch() { # TCPDUMP-OPTIONS...: starts tcpdump in the background, sets JOB
    bound=
    timeout -s INT -k 5 5 true 2>/dev/null && bound="timeout -s INT -k 5 $((MAX + 5))"
    if [ "$MODE" = wrapper ]; then
        # The wrapper writes to our own file and ends when the pipe is closed, hence with this process.
        mkfifo "$D/hold" && exec 9<>"$D/hold"
        sudo -n "$WRAPPER" start "$NAME" "$MAX" "$2" "$5" "$7" "${10}" \
            <"$D/hold" >"$D/cap.pcap" 2>>"$D/err" 9>&- &
    else
        as_root=
        [ "$MODE" = root ] && as_root='-Z root' # else it becomes a user that may not write here
        $bound sh -c 'echo $$ >"$0/pid"; exec "$@"' "$D" "$TCPDUMP" $as_root -w "$D/cap.pcap" "$@" 2>>"$D/err" &
    fi
    JOB=$!
}

watch() { # until tcpdump ends or a bound is reached: sets WHY
    ticks=0 seen= WHY=
    begun=$(uptime_s 0) renewed=$(uptime_s 0)
    while kill -0 "$JOB" 2>/dev/null; do
        sleep 1 &
        wait $! # SIGTERM cuts this short
        ticks=$((ticks + 1))
        now=$(uptime_s "$ticks")
        set -- "$D"/lease.*
        [ "$1" = "$seen" ] || { seen=$1 && renewed=$now; }
        sample
        if [ -e "$D/stop" ]; then WHY=stop
        elif [ $((now - renewed)) -ge "$LEASE" ]; then WHY=lease
        elif [ $((now - begun)) -ge "$MAX" ]; then WHY=time-limit
        elif [ -n "$FREE" ] && [ "$FREE" -lt "$MIN_FREE" ]; then WHY=disk-full
        elif [ $((BYTES / 1024)) -ge "$MAX_FILE" ]; then WHY=file-limit
        else continue; fi
        break
    done
}

conclude() { # ends tcpdump, waits for its closing counters, notes why: the last thing a supervisor does
    trap '' TERM
    if [ -n "$WHY" ]; then
        interrupt
        n=0
        while kill -0 "$JOB" 2>/dev/null && [ $n -lt 100 ]; do
            sleep 0.1 2>/dev/null || { sleep 1 && n=$((n + 9)); }
            n=$((n + 1))
        done
        p=$(pid_in pid)
        kill -0 "$JOB" 2>/dev/null && ours "$p" && kill -KILL "$p"
    fi
    wait "$JOB"
    code=$?
    if [ -z "$WHY" ]; then
        case $code in 124 | 137) WHY=time-limit ;; *) WHY=exit ;; esac
        [ -e "$D/stop" ] && WHY=stop
    fi
    rm -f "$D/reserve" # room for the last lines if the disk is full
    sample
    printf 'end %s %s\n' "$WHY" "$code" >>"$D/log"
    mv "$D/live" "$D/end.$WHY.$code"
}

cmd_supervise() { # BASE NAME MODE TCPDUMP MAX LEASE MIN_FREE MAX_FILE TCPDUMP-OPTIONS...
    locate "$1" "$2"
    MODE=$3 TCPDUMP=$4 MAX=$5 LEASE=$6 MIN_FREE=$7 MAX_FILE=$8
    shift 8
    trap '' HUP PIPE
    trap : TERM
    echo $$ >"$D/super"
    sample # the log has its first block while there is room
    launch "$@"
    watch
    conclude
}

# --- verbs -----------------------------------------------------------------------------------------------------------

cmd_start() { # BASE NAME PRIVILEGE MAX LEASE MIN_FREE MAX_FILE TCPDUMP-OPTIONS...
    enter "$1" "$2"
    base=$1 privilege=$3 max=$4 lease=$5 min_free=$6 max_file=$7
    shift 7
    end=$(ending) && fail ended "$end"
    if mkdir "$D/claim" 2>/dev/null; then
        choose "$privilege" "$2"
        if [ "$MODE" = none ]; then
            discard
            [ -n "$TCPDUMP" ] || fail tool-missing tcpdump
            printf '%s\n' "$REFUSAL" | prefixed err
            echo "user $(id -un)"
            fail rights "$TCPDUMP"
        fi
        free=$(free_kib "$D")
        if [ -n "$free" ] && [ "$free" -lt "$min_free" ]; then
            discard
            fail disk "$free"
        fi
        printf '%s\n%s\n%s\n' "$MODE" "$TCPDUMP" "$(version_of "${TCPDUMP:-tcpdump}")" >"$D/mode"
        : >"$D/lease.1"
        : >"$D/live"
        : >"$D/err"
        dd if=/dev/zero of="$D/reserve" bs=1024 count=64 2>/dev/null
        detach=nohup
        command -v setsid >/dev/null && detach=setsid
        $detach sh "$D/agent.sh" supervise "$base" "$NAME" "$MODE" "$TCPDUMP" "$max" "$lease" "$min_free" "$max_file" \
            "$@" </dev/null >/dev/null 2>&1 &
    fi
    await_listening
}

await_listening() { # reports the armed capture; a capture that could not start leaves nothing behind
    n=0
    while [ $n -lt 150 ] && ! grep -q 'listening on' "$D/err" 2>/dev/null && ! ending >/dev/null; do
        sleep 0.1 2>/dev/null || { sleep 1 && n=$((n + 9)); }
        n=$((n + 1))
    done
    if grep -q 'listening on' "$D/err" 2>/dev/null && ! ending >/dev/null; then
        echo "directory $D"
        prefixed mode <"$D/mode"
        prefixed err <"$D/err"
        echo armed
        return
    fi
    end=$(ending) || {
        halt
        end=silent
    }
    prefixed err <"$D/err"
    program=$(sed -n 2p "$D/mode" 2>/dev/null)
    discard
    echo "program ${program:-tcpdump}"
    fail start "${end##* }"
}

halt() { # ends the capture, through its supervisor if that is alive
    : >"$D/stop"
    read -r MODE <"$D/mode" || MODE=root
    ending >/dev/null && return
    s=$(pid_in super)
    n=0
    if ours "$s"; then
        kill -TERM "$s"
        while ours "$s" && [ $n -lt 250 ]; do
            sleep 0.05 2>/dev/null || { sleep 1 && n=$((n + 19)); }
            n=$((n + 1))
        done
    fi
    ending >/dev/null && return
    # The supervisor was killed: do its last duties.
    interrupt
    n=0
    p=$(pid_in pid)
    while ours "$p" && [ $n -lt 50 ]; do
        sleep 0.1 2>/dev/null || { sleep 1 && n=$((n + 9)); }
        n=$((n + 1))
    done
    ours "$p" && kill -KILL "$p"
    mv "$D/live" "$D/end.lost.-1" 2>/dev/null
}

cmd_poll() { # BASE NAME POSITION
    enter "$1" "$2"
    set -- "$3" "$D"/lease.*
    mv "$2" "$D/lease.$((${2##*.} + 1))" 2>/dev/null
    if end=$(ending); then
        echo "ended $end"
    elif [ -e "$D/super" ] && ! ours "$(pid_in super)"; then
        # It may have ended between the two looks.
        if end=$(ending); then echo "ended $end"; else echo "ended lost -1"; fi
    else
        echo armed
    fi
    echo log
    tail -c "+$(($1 + 1))" "$D/log" 2>/dev/null | head -c 1048576
}

cmd_stop() { # BASE NAME
    enter "$1" "$2"
    halt
    touch "$D"
    echo "end $(ending)"
    echo "free $(free_kib "$D")"
    echo "size $(file_bytes)"
    [ ! -e "$D/full" ] || echo "full yes"
    prefixed err <"$D/err"
}

cmd_hash() { # BASE NAME: sizes and SHA-256 before anything is transferred
    enter "$1" "$2"
    ending >/dev/null || fail live "$D has not ended"
    for f in "$D"/*.pcap; do
        [ -f "$f" ] && [ ! -L "$f" ] || continue
        if command -v sha256sum >/dev/null; then sum=$(sha256sum <"$f")
        elif command -v openssl >/dev/null; then sum=$(openssl dgst -sha256 -r <"$f")
        elif command -v shasum >/dev/null; then sum=$(shasum -a 256 <"$f")
        else fail hash-tool sha256sum; fi
        set -- $(ls -ln "$f")
        echo "file ${f##*/} $5 ${sum%% *}"
    done
}

cmd_remove() { # BASE NAME
    locate "$1" "$2"
    if [ ! -e "$D" ] && [ ! -L "$D" ]; then echo removed && return; fi
    enter "$1" "$2"
    ending >/dev/null || ! ours "$(pid_in super)" || fail live "$D has not ended"
    discard || fail directory "$D cannot be removed"
    echo removed
}

cmd_sweep() { # BASE [RUN]: ends and removes the captures of RUN, or what crashes left
    base=$1 run=${2:-}
    for d in "$base/vanishpoint-$(id -u)"/*@*; do
        owned "$d" || continue
        enter "$base" "${d##*/}"
        if [ -n "$run" ]; then
            [ "${NAME%@*}" = "$run" ] || continue
        else
            abandoned || continue
        fi
        halt
        discard && echo "swept $NAME"
    done
    if [ -x "$WRAPPER" ] && sudo -n -l "$WRAPPER" >/dev/null 2>&1; then sudo -n "$WRAPPER" sweep $run; fi
    return 0
}

abandoned() { # the lease ran out, or the supervisor is gone, or nobody came for the files
    if end=$(ending); then
        case $end in lease\ * | lost\ *) return 0 ;; esac
        [ -n "$(find "$D" -prune -mmin +$IDLE_MINUTES)" ]
    else
        [ -e "$D/super" ] && ! ours "$(pid_in super)"
    fi
}

# --- preflight -------------------------------------------------------------------------------------------------------

fact() { printf '%s\n' "$2" | prefixed "fact $1"; }

briefly() { # a question to a daemon that may not answer
    if command -v timeout >/dev/null; then timeout 3 "$@" 2>/dev/null; else "$@" 2>/dev/null; fi
}

compile() { # INTERFACE FILTER: the host's own tcpdump, on the link type of that interface where rights allow
    case $MODE in
    root | capabilities) "$TCPDUMP" -i "$1" -d -- "$2" 2>&1 >/dev/null ;;
    wrapper) sudo -n "$WRAPPER" check "$1" "$2" 2>&1 >/dev/null ;;
    none) [ -z "$TCPDUMP" ] || "$TCPDUMP" -y EN10MB -d -- "$2" 2>&1 >/dev/null ;;
    esac
}

cmd_preflight() { # BASE PRIVILEGE INTERFACE FILTER
    base=$1 iface=$3
    fact uid "$(id -u)"
    fact user "$(id -un)"
    fact system "$(uname -sr)"
    choose "$2" "$iface"
    fact privilege "$MODE"
    fact tcpdump "$TCPDUMP"
    [ -n "$TCPDUMP" ] && fact tcpdump_version "$(version_of "$TCPDUMP")"
    [ -n "$REFUSAL" ] && fact refusal "$REFUSAL"
    if [ -d "/sys/class/net/$iface" ]; then
        fact interface present
        fact flags "$(cat "/sys/class/net/$iface/flags")"
        fact mtu "$(cat "/sys/class/net/$iface/mtu")"
        fact operstate "$(cat "/sys/class/net/$iface/operstate")"
    elif [ -d /sys/class/net ] && [ "$iface" != any ]; then
        fact interface missing
        fact interfaces "$(ls /sys/class/net | tr '\n' ' ')"
    fi
    said=$(compile "$iface" "$4")
    fact filter_exit $?
    fact filter_said "$said"
    fact free_kib "$(free_kib "$base")"
    [ -d "$base" ] && [ -w "$base" ] && fact writable yes
    host_facts "$iface"
    leftovers "$base"
}

host_facts() { # INTERFACE
    for tool in timeout setsid sha256sum openssl shasum sudo; do
        command -v $tool >/dev/null && fact "has_$tool" yes
    done
    read -r load _ 2>/dev/null </proc/loadavg && fact load "$load"
    fact cpus "$(getconf _NPROCESSORS_ONLN 2>/dev/null || grep -c ^processor /proc/cpuinfo)"
    fact date_ns "$(date +%s%N)"
    command -v chronyc >/dev/null && fact chrony "$(briefly chronyc -c tracking)"
    command -v timedatectl >/dev/null && fact ntp_synchronised "$(briefly timedatectl show -p NTPSynchronized --value)"
    if command -v ethtool >/dev/null; then
        fact offloads "$(ethtool -k "$1" 2>/dev/null | sed -n 's/^\([a-z]*-[a-z-]*-offload\): on.*/\1/p' | tr '\n' ' ')"
    else
        fact ethtool missing
    fi
}

leftovers() { # BASE: our own captures on this host, and how they stand
    for d in "$1/vanishpoint-$(id -u)"/*@*; do
        [ -d "$d" ] && owned "$d" || continue
        NAME=${d##*/} D=$d
        if abandoned; then state=abandoned
        elif ending >/dev/null; then state=ended
        else state=live; fi
        fact leftover "$NAME $state"
    done
}

main() {
    verb=$1
    shift
    case $verb in
    start | supervise | poll | stop | hash | remove | sweep | preflight) "cmd_$verb" "$@" ;;
    *) fail verb "$verb" ;;
    esac
}

# Standard input may be this very file, which no command may eat.
main "$@" </dev/null
exit
