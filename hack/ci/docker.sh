#!/usr/bin/env bash
# docker.sh up: a Docker engine where none runs (a Debian machine, as root), with no way out for its containers. Where somebody
# else's engine runs, that one is used, and the network kind alone is closed.
# docker.sh down: ends the engine that up started, opens what up has closed, and nothing else.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
state=/run/quotes-docker
pidfile=$state/dockerd.pid
closed=$state/closed # the bridges whose rules are ours
say() { echo "docker: $*" >&2; }

rule_of() { # bridge
	rule=(-i "$1" ! -o "$1" -m conntrack --ctstate NEW -j REJECT)
}

# closed_network makes sure that what leaves the named Docker network by any other way is refused; its own traffic is not.
closed_network() { # network, bridge
	local rule
	rule_of "$2"
	iptables -C DOCKER-USER "${rule[@]}" 2>/dev/null || {
		iptables -I DOCKER-USER "${rule[@]}"
		echo "$2" >>"$closed"
	}
	say "network $1: nothing gets out of $2"
}

up() {
	if docker info >/dev/null 2>&1; then
		say "an engine runs already"
		if [[ $(id -u) != 0 ]] || ! command -v iptables >/dev/null; then
			say "its network kind is not closed: that takes root and iptables"
			return
		fi
		mkdir -p "$state"
	else
		[[ $(id -u) == 0 ]] || { say "no engine runs and only root can start one: start Docker, or run this as root"; exit 1; }
		command -v dockerd >/dev/null && command -v iptables >/dev/null && command -v jq >/dev/null || install_engine
		start
		closed_network bridge docker0
	fi
	docker network inspect kind >/dev/null 2>&1 || docker network create kind >/dev/null
	closed_network kind "br-$(docker network inspect --format '{{.Id}}' kind | cut -c1-12)"
}

# install_engine installs Debian's package without letting it start an engine of its own.
install_engine() {
	local policy=/usr/sbin/policy-rc.d
	say "installing Debian's docker.io"
	apt-get update -qq
	if [[ ! -e $policy ]]; then
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod +x $policy
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT
	fi
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io iptables jq >/dev/null
}

start() {
	mkdir -p "$state"
	rm -f "$pidfile" "$closed" # of an engine that was killed
	local config=$state/daemon.json
	if ((16#$(awk '/^CapBnd/ {print $2}' /proc/self/status) >> 24 & 1)); then
		echo '{}' >"$config"
	else
		say "the kernel holds back CAP_SYS_RESOURCE: runc is called without it"
		echo "{\"default-runtime\": \"capless\", \"runtimes\": {\"capless\": {\"path\": \"$here/capless\"}}}" >"$config"
	fi
	setsid dockerd --config-file "$config" --pidfile "$pidfile" --log-level warn >"$state/dockerd.log" 2>&1 </dev/null &
	local pid=$!
	for _ in {1..120}; do
		docker info >/dev/null 2>&1 && say "engine started, pid $pid, log $state/dockerd.log" && return
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.5
	done
	tail -5 "$state/dockerd.log" >&2
	gone "$pid" || say "and $pid does not end"
	say "the engine did not start: see above and $state/dockerd.log"
	exit 1
}

# gone ends a process and waits until it has ended.
gone() { # pid
	kill "$1" 2>/dev/null || true
	for _ in {1..120}; do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.5
	done
	return 1
}

down() {
	local pid rule bridge
	[[ -d $state ]] || { say "nothing that up has done"; return; }
	if [[ -f $closed ]]; then
		while read -r bridge; do
			rule_of "$bridge"
			iptables -D DOCKER-USER "${rule[@]}" 2>/dev/null || true
		done <"$closed"
	fi
	if [[ -f $pidfile ]]; then
		pid=$(<"$pidfile")
		if [[ $(cat "/proc/$pid/comm" 2>/dev/null) == dockerd ]]; then
			gone "$pid" || { say "engine $pid does not end: see $state/dockerd.log"; exit 1; }
			say "engine $pid ended"
		else
			say "the engine that up started has ended already"
		fi
	else
		say "no engine that up started"
	fi
	rm -rf "$state"
}

case ${1:-} in
up | down) "$1" ;;
*) say "say up or down"; exit 2 ;;
esac
