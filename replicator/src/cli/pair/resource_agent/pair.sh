#!/bin/sh
# OCF resource agent for Pacemaker: the datasets of a pair of replicator, writable and mounted on the node that has the
# service. Printed by `replicator pair resource-agent`; the work is done by `replicator pair promote` and `demote`.

: "${OCF_RESKEY_binary:=replicator}"
: "${OCF_RESKEY_config:=}"
: "${OCF_RESKEY_pair:=}"

OCF_SUCCESS=0
OCF_ERR_GENERIC=1
OCF_ERR_UNIMPLEMENTED=3
OCF_ERR_INSTALLED=5
OCF_ERR_CONFIGURED=6
OCF_NOT_RUNNING=7

meta_data() {
    cat <<'XML'
<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="pair" version="1.0">
<version>1.1</version>
<longdesc lang="en">
The datasets of a pair of replicator. Its start promotes this node, which is refused where that is not safe, and
makes them writable and mounted. Its stop makes them read-only, unmounts them, and sends what the other node lacks.
</longdesc>
<shortdesc lang="en">Replicated ZFS datasets of two nodes</shortdesc>
<parameters>
<parameter name="pair" unique-group="pair" unique="1" required="1">
<longdesc lang="en">The pair, as the configuration of replicator calls it.</longdesc>
<shortdesc lang="en">Pair</shortdesc>
<content type="string"/>
</parameter>
<parameter name="config" required="0">
<longdesc lang="en">The configuration of replicator, where it is not that of the machine.</longdesc>
<shortdesc lang="en">Configuration</shortdesc>
<content type="string"/>
</parameter>
<parameter name="binary" required="0">
<longdesc lang="en">The program.</longdesc>
<shortdesc lang="en">Program</shortdesc>
<content type="string" default="replicator"/>
</parameter>
</parameters>
<actions>
<action name="start" timeout="120s"/>
<action name="stop" timeout="180s"/>
<action name="monitor" depth="0" timeout="60s" interval="30s"/>
<action name="validate-all" timeout="30s"/>
<action name="meta-data" timeout="5s"/>
</actions>
</resource-agent>
XML
}

# A verb of the pair.
verb() {
    verb=$1
    shift
    if [ -n "$OCF_RESKEY_config" ]; then
        set -- "$@" --config "$OCF_RESKEY_config"
    fi
    "$OCF_RESKEY_binary" pair "$verb" "$OCF_RESKEY_pair" "$@"
}

monitor() {
    verb resource-agent --monitor
    case $? in
        0) return "$OCF_SUCCESS" ;;
        9) return "$OCF_NOT_RUNNING" ;;
        *) return "$OCF_ERR_GENERIC" ;;
    esac
}

start() {
    # One that is active already is promoted again without anything being changed.
    verb promote || return "$OCF_ERR_GENERIC"
}

stop() {
    verb demote || return "$OCF_ERR_GENERIC"
}

validate() {
    command -v "$OCF_RESKEY_binary" >/dev/null 2>&1 || return "$OCF_ERR_INSTALLED"
    [ -n "$OCF_RESKEY_pair" ] || return "$OCF_ERR_CONFIGURED"
}

case $1 in
    meta-data)
        meta_data
        exit "$OCF_SUCCESS"
        ;;
    start | stop | monitor | status | validate-all) ;;
    *)
        echo "usage: $0 {start|stop|monitor|validate-all|meta-data}" >&2
        exit "$OCF_ERR_UNIMPLEMENTED"
        ;;
esac

validate || exit $?
case $1 in
    start) start ;;
    stop) stop ;;
    monitor | status) monitor ;;
    validate-all) ;;
esac
exit $?
