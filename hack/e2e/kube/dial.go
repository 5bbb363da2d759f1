package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// DialPod opens a connection to a port of a pod, through the API server. It has no listener on this machine, and it ends with
// the pod.
func (c *Cluster) DialPod(ctx context.Context, namespace, pod string, port int) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		conn, err := c.forward(namespace, pod, port)
		done <- result{conn, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, fmt.Errorf("port-forward to %s:%d: %w", pod, port, r.err)
		}
		return r.conn, nil
	case <-ctx.Done():
		go func() { // the dialers know no context: what comes too late is closed
			if r := <-done; r.conn != nil {
				r.conn.Close()
			}
		}()
		return nil, fmt.Errorf("port-forward to %s:%d: %w", pod, port, ctx.Err())
	}
}

func (c *Cluster) forward(namespace, pod string, port int) (net.Conn, error) {
	dialer, err := c.dialer(namespace, pod)
	if err != nil {
		return nil, err
	}
	stream, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
	if err != nil {
		return nil, err
	}
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(port))
	headers.Set(corev1.PortForwardRequestIDHeader, "0")
	faults, err := stream.CreateStream(headers)
	if err != nil {
		return nil, errors.Join(err, stream.Close())
	}
	_ = faults.Close() // this end of it is never written to
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := stream.CreateStream(headers)
	if err != nil {
		return nil, errors.Join(err, stream.Close())
	}
	return bridge(stream, data, faults), nil
}

// dialer tries WebSocket first: SPDY alone is unreliable with newer API servers.
func (c *Cluster) dialer(namespace, pod string) (httpstream.Dialer, error) {
	target := c.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL()
	tunnel, err := portforward.NewSPDYOverWebsocketDialerForStreaming(target, c.config)
	if err != nil {
		return nil, err
	}
	transport, upgrader, err := spdy.RoundTripperFor(c.config)
	if err != nil {
		return nil, err
	}
	plain := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, target)
	return portforward.NewFallbackDialerForStreaming(tunnel, plain, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}

// bridge makes a connection with deadlines out of the streams, which have none.
func bridge(stream io.Closer, data io.ReadWriter, faults io.Reader) net.Conn {
	near, far := net.Pipe()
	end := func() {
		far.Close()
		_ = stream.Close()
	}
	go func() { // what the kubelet complains of, such as a refused connection, ends the connection
		text, _ := io.ReadAll(faults)
		if len(text) > 0 {
			end()
		}
	}()
	go func() {
		defer end()
		_, _ = io.Copy(far, data)
	}()
	go func() {
		defer end()
		_, _ = io.Copy(data, far)
	}()
	return near
}
