package broker

import (
	"quotes/src/quote"
	"quotes/src/wire"
)

// Topics is what status says of the topics.
func (b *Broker) Topics() map[quote.Topic]wire.TopicInfo { return b.status().Topics }

// Subscribers is how many connections with subscriptions there are.
func (b *Broker) Subscribers() int { return len(b.status().Subscribers) }
