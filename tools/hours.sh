#!/bin/sh
# Runs tests at another time: tools/hours.sh '2028-02-29 00:00' 10 ./cmd/lamppost ./internal/node
#
# The tests of each package begin so many seconds before that moment (UTC), one package after another, and so do the programs that they start
# from their own binary. For that the standard library's clock is built anew, with a shift that a program reads when it starts; timers and
# testing/synctest keep theirs. Files' times and other programs (mosquitto, chromium) keep the true time.
# Needs GNU date. Flags of go test may stand among the packages.
set -eu

dir=${TMPDIR:-/tmp}/lamppost-hours-$(id -u)
if [ "$1" = --begin ]; then # by go test, in place of a package's tests
	echo $(($2 - $(date +%s))) > "$dir/shift"
	shift 2
	exec "$@"
fi

at=$(($(date -u -d "$1" +%s) - $2))
shift 2
(umask 077 && mkdir -p "$dir")
from=$(go env GOROOT)/src/time/time.go
sed 's/^func Now() Time {$/func trueNow() Time {/' "$from" > "$dir/time.go"
grep -q '^func trueNow' "$dir/time.go" || { echo "$from has no func Now() Time" >&2; exit 1; }
cat >> "$dir/time.go" <<END

func Now() Time {
	t := trueNow()
	if t.Unix() < 1_500_000_000 { // testing/synctest begins in 2000
		return t
	}
	later := t.Add(lamppostShift)
	if later.wall&hasMonotonic != 0 {
		later.ext = t.ext // Add moves the monotonic clock, too
	}
	return later
}

var lamppostShift = func() (shift Duration) {
	fd, err := open("$dir/shift")
	if err != nil {
		return 0
	}
	defer closefd(fd)
	var text [32]byte
	n, _ := read(fd, text[:])
	sign := Second
	for _, c := range text[:max(n, 0)] {
		if c == '-' {
			sign = -Second
		} else if '0' <= c && c <= '9' {
			shift = 10*shift + Duration(c-'0')
		}
	}
	return shift * sign
}()
END
printf '{"Replace": {"%s": "%s"}}\n' "$from" "$dir/time.go" > "$dir/overlay.json"
exec go test -overlay "$dir/overlay.json" -count 1 -p 1 -exec "'$PWD/tools/hours.sh' --begin $at" "$@"
