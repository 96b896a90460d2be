package callbacks

import (
	"crypto/x509"
	"net/http"
)

// Constants that black-box tests need.
const (
	QueueLength = queueLength
	LookAgain   = lookAgain
)

// OverTransport makes the calls of sinks that are applied from now on go over rt, in place of the network.
func (c *Callbacks) OverTransport(rt http.RoundTripper) {
	c.caller = func(cfg Config, roots *x509.CertPool) *caller {
		made := newCaller(cfg, roots)
		made.client.Transport = rt
		return made
	}
}

// Waiting counts the events in memory, and how many of them are in a queue.
func (c *Callbacks) Waiting() (held, queued int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sinks {
		queued += len(s.queue)
	}
	return len(c.held), queued
}

// RetryAfter is retryAfter.
var RetryAfter = retryAfter
