package main

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// natsSystem is nats-server with its defaults and its Go client with its own.
func natsSystem() *system {
	return &system{name: "nats", version: "nats-server v" + server.VERSION, publish: publishNATS, subscribe: subscribeNATS}
}

// serveNATS runs until the process is killed.
func serveNATS() error {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return errors.New("nats-server is not ready")
	}
	fmt.Println(s.Addr())
	s.WaitForShutdown()
	return nil
}

type natsPublisher struct {
	conn   *nats.Conn
	topics []string
}

func publishNATS(addr string, topics []string) (publisher, error) {
	conn, err := nats.Connect("nats://" + addr)
	return &natsPublisher{conn, topics}, err
}

func (p *natsPublisher) publish(topic int, payload []byte) error {
	return p.conn.Publish(p.topics[topic], payload)
}

func (p *natsPublisher) flush() error { return nil } // its client flushes by itself, in bursts

func (p *natsPublisher) close() { p.conn.Close() }

type natsReader struct {
	conn    *nats.Conn
	dropped atomic.Int64
}

func subscribeNATS(addr string, patterns []string, each func([]byte)) (reader, error) {
	r := &natsReader{}
	conn, err := nats.Connect("nats://"+addr, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) { r.dropped.Add(1) }))
	if err != nil {
		return nil, err
	}
	r.conn = conn
	for _, p := range patterns {
		if p == "*" {
			p = ">"
		}
		if _, err := conn.Subscribe(p, func(m *nats.Msg) { each(m.Data) }); err != nil {
			return nil, err
		}
	}
	return r, conn.Flush() // the server has the subscriptions
}

func (r *natsReader) lost() int { return int(r.dropped.Load()) }

func (r *natsReader) close() { r.conn.Close() }
