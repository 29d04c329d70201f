#!/bin/sh
# Stands in for ssh in the tests: runs the command on this machine, shares a "connection" by a file in place of a
# socket, and fails as ssh does for hosts with certain names. Each run appends its arguments to `runs` beside the log.
log= socket= ask= master= command=
for argument; do all="$all<$argument>"; done
while [ $# -gt 0 ]; do
    case $1 in
    -E) log=$2; shift ;;
    -S) socket=$2; shift ;;
    -O) ask=$2; shift ;;
    -N) master=yes ;;
    -o | -e | -l | -p) shift ;;
    --) host=$2 command=$3; break ;;
    esac
    shift
done
say() { printf '%s\r\n' "$@" >>"$log"; }
case $socket in
*/s) echo "$all" >>"${socket%/s}/runs" ;;
*) echo "$all" >>"${log%/*}/runs" ;;
esac
if [ -n "$ask" ]; then
    [ "$ask" != exit ] || rm -f "$socket"
    [ -e "$socket" ]
    exit
fi
if [ -n "$master" ] || [ "$socket" = none ]; then
    case $host in
    unknown) say "No ED25519 host key is known for unknown and you have requested strict checking." "Host key verification failed."; exit 255 ;;
    refused) say "ssh: connect to host refused port 22: Connection refused"; exit 255 ;;
    denied) say "root@denied: Permission denied (publickey)."; exit 255 ;;
    badoption) echo "command-line: line 0: Bad configuration option: foo" >&2; exit 255 ;;
    silent) sleep 600 ;;
    cannotlisten) if [ -n "$master" ]; then say "ControlSocket $socket already exists, disabling multiplexing"; sleep 600; fi ;;
    esac
fi
if [ -n "$master" ]; then
    : >"$socket"
    exit 0
fi
case $host in
drops) head -c 100000 >/dev/null; echo some; rm -f "$socket"; exec 0<&- 1>&- 2>&-; exit 255 ;;
times-out) say "Timeout, server times-out not responding."; exit 255 ;;
esac
exec sh -c "$command"
