//go:build !linux

package wire

import (
	"errors"
	"net"
	"syscall"
	"time"
)

// setUserTimeout does nothing here: heartbeats alone find a dead peer.
func setUserTimeout(net.Conn, time.Duration) {}

// isTooManyFiles reports whether accepting failed for want of file descriptors, which passes.
func isTooManyFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
