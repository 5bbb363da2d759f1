package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/wire"
)

func TestAPortInUseIsNamed(t *testing.T) {
	ln, err := wire.Listen("127.0.0.1:0", "core")
	require.NoError(t, err)
	defer ln.Close()
	_, err = wire.Listen(ln.Addr().String(), "core")
	require.EqualError(t, err, "listen on "+ln.Addr().String()+": address already in use (is another core running?)")
	_, err = wire.Listen("127.0.0.1:port", "core")
	require.ErrorContains(t, err, "listen on 127.0.0.1:port: ")
	require.NotContains(t, err.Error(), "another")
}
