package wire

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listen opens the data port of a process. An error names the address; where something listens there already it asks whether that
// is the same process, started twice.
func Listen(addr, process string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: address already in use (is another %s running?)", addr, process)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return ln, nil
}
