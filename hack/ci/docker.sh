#!/usr/bin/env bash
# docker.sh up: a Docker engine where none runs (a Debian machine, as root), with no way out for its containers.
# docker.sh down: ends the engine that up started, and nothing else.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
state=/run/quotes-docker
pidfile=$state/dockerd.pid
say() { echo "docker: $*" >&2; }

# closed_network makes sure that what leaves the named Docker network by any other way is refused; its own traffic is not.
closed_network() { # network, bridge
	local rule=(-i "$2" ! -o "$2" -m conntrack --ctstate NEW -j REJECT)
	iptables -C DOCKER-USER "${rule[@]}" 2>/dev/null || iptables -I DOCKER-USER "${rule[@]}"
	say "network $1: nothing gets out of $2"
}

up() {
	if docker info >/dev/null 2>&1; then
		say "an engine runs already"
		[[ -f $pidfile ]] || return 0 # somebody else's: its networks are theirs
	else
		[[ $(id -u) == 0 ]] || { say "no engine runs and only root can start one: start Docker, or run this as root"; exit 1; }
		command -v dockerd >/dev/null && command -v iptables >/dev/null && command -v jq >/dev/null || install_engine
		start
	fi
	docker network inspect kind >/dev/null 2>&1 || docker network create kind >/dev/null
	closed_network bridge docker0
	closed_network kind "br-$(docker network inspect --format '{{.Id}}' kind | cut -c1-12)"
}

install_engine() {
	say "installing Debian's docker.io"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io iptables jq >/dev/null
}

start() {
	mkdir -p "$state"
	rm -f "$pidfile" # of an engine that was killed
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
	say "the engine did not start: see above and $state/dockerd.log"
	exit 1
}

down() {
	[[ -f $pidfile ]] || { say "none that up started"; return; }
	local pid
	pid=$(<"$pidfile")
	[[ $(cat "/proc/$pid/comm" 2>/dev/null) == dockerd ]] || { rm -rf "$state"; say "the engine that up started has ended already"; return; }
	kill "$pid" 2>/dev/null || true
	for _ in {1..120}; do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.5
	done
	rm -rf "$state"
	say "engine $pid ended"
}

case ${1:-} in
up | down) "$1" ;;
*) say "say up or down"; exit 2 ;;
esac
