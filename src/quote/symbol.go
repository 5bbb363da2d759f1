package quote

import (
	"errors"
	"fmt"
	"strings"
)

// MaxSymbol is the longest symbol, in bytes.
const MaxSymbol = 32

// ErrBadSymbol says that a symbol is malformed.
var ErrBadSymbol = errors.New("bad symbol")

// ErrBadTopic says that a topic or a topic pattern is malformed.
var ErrBadTopic = errors.New("bad topic")

// Symbol names an instrument: [A-Z0-9][A-Z0-9._/-]{0,31}.
type Symbol string

// ParseSymbol returns s as a Symbol, or an error that wraps [ErrBadSymbol].
func ParseSymbol(s string) (Symbol, error) {
	if !validSymbol(s) {
		return "", fmt.Errorf("%w %q: want 1 to %d of A-Z 0-9 . _ / -, a letter or digit first", ErrBadSymbol, clip(s), MaxSymbol)
	}
	return Symbol(s), nil
}

func validSymbol(s string) bool {
	if s == "" || len(s) > MaxSymbol || strings.IndexByte("._/-", s[0]) >= 0 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("._/-", c) < 0 {
			return false
		}
	}
	return true
}

// clip keeps what an error repeats of foreign input short.
func clip(s string) string {
	const most = 48
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// Kind is what a topic carries.
type Kind string

// The kinds of topics.
const (
	Quotes Kind = "quotes"
	Trades Kind = "trades"
	Status Kind = "status"
)

// StatusCore is the topic of core's breaker transitions. Shards do not keep it.
const StatusCore Topic = "status.core"

// Topic is one kind of one symbol, such as quotes.PETR4, or [StatusCore].
type Topic string

// TopicOf returns the topic of a kind of a symbol.
func TopicOf(k Kind, s Symbol) Topic { return Topic(string(k) + "." + string(s)) }

// ParseTopic returns s as a Topic, or an error that wraps [ErrBadTopic].
func ParseTopic(s string) (Topic, error) {
	t := Topic(s)
	if t == StatusCore {
		return t, nil
	}
	kind, symbol, found := strings.Cut(s, ".")
	if !found || (Kind(kind) != Quotes && Kind(kind) != Trades) || !validSymbol(symbol) {
		return "", fmt.Errorf("%w %q: want quotes.SYMBOL, trades.SYMBOL or %s", ErrBadTopic, clip(s), StatusCore)
	}
	return t, nil
}

// Kind returns what the topic carries.
func (t Topic) Kind() Kind {
	kind, _, _ := strings.Cut(string(t), ".")
	return Kind(kind)
}

// Symbol returns the topic's symbol; it is empty for [StatusCore].
func (t Topic) Symbol() Symbol {
	if t == StatusCore {
		return ""
	}
	_, symbol, _ := strings.Cut(string(t), ".")
	return Symbol(symbol)
}

// Pattern is what one subscribes to: a topic, "quotes.*", "trades.*" or "*".
type Pattern string

// ParsePattern returns s as a Pattern, or an error that wraps [ErrBadTopic].
func ParsePattern(s string) (Pattern, error) {
	switch s {
	case "*", "quotes.*", "trades.*":
		return Pattern(s), nil
	}
	if _, err := ParseTopic(s); err != nil {
		return "", fmt.Errorf("%w %q: want quotes.SYMBOL, trades.SYMBOL, %s, quotes.*, trades.* or *", ErrBadTopic, clip(s), StatusCore)
	}
	return Pattern(s), nil
}

// Match reports whether the pattern covers the topic.
func (p Pattern) Match(t Topic) bool {
	if p == "*" || string(p) == string(t) {
		return true
	}
	prefix, wild := strings.CutSuffix(string(p), "*")
	return wild && strings.HasPrefix(string(t), prefix)
}

// Wild reports whether the pattern covers more than one topic.
func (p Pattern) Wild() bool { return strings.HasSuffix(string(p), "*") }
