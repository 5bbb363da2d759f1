# Sourced: what the steps of build.sh share.
began=$SECONDS

say() { # words: a progress line
	printf 'nodeimage: %4d s  %s\n' "$((SECONDS - began))" "$*" >&2
}

die() { # words
	echo "nodeimage: $*" >&2
	exit 1
}

needs() { # command package
	command -v "$1" >/dev/null || die "$1 is missing: apt-get install $2"
}
