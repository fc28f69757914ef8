package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/ingest/brokerd"
)

// Broker is what can be set about the MQTT broker that a node joins.
type Broker struct {
	// URL is its address, mqtt://host[:1883] or mqtts://host[:8883] with TLS. Empty: this node joins none.
	URL string `yaml:"mqtt_broker"`
	// User and Password log in there. Without them what stands in URL counts.
	User     string `yaml:"mqtt_broker_user"`
	Password string `yaml:"mqtt_broker_password"`
	// CA is a PEM file of the authorities that sign the broker's certificate. Default: those of the system.
	CA string `yaml:"mqtt_broker_ca"`
	// Group splits what comes among the nodes that name it. Empty: this node gets all of it.
	Group string `yaml:"mqtt_broker_group"`
	// ACL says that the broker lets a device publish only to topics that name it. Then what comes on these counts as the
	// device's own where it is not signed: as channel-authenticated.
	ACL bool `yaml:"mqtt_broker_acl"`
	// Plain allows mqtt:// to another machine, where nobody can listen or nobody minds.
	Plain bool `yaml:"mqtt_broker_plain"`
}

// check refuses what contradicts itself. Its errors do not repeat the URL, which may hold a password.
func (b *Broker) check() error {
	if b.URL == "" {
		if *b != (Broker{}) {
			return errors.New("settings of a broker mean nothing without its address, mqtt_broker")
		}
		return nil
	}
	at, login, err := brokerd.ParseURL(b.URL)
	if err != nil {
		return fmt.Errorf("the broker's address mqtt_broker: %w", err)
	}
	if b.User == "" {
		b.User = login.Username()
	}
	if b.Password == "" {
		b.Password, _ = login.Password()
	}
	switch {
	case b.Group != "":
		if err := lamppost.CheckName("mqtt_broker_group", b.Group); err != nil {
			return err
		}
	case b.CA != "" && !at.TLS:
		return errors.New("mqtt_broker_ca means nothing without TLS: write mqtts:// in mqtt_broker")
	}
	if !at.TLS && !at.Loopback() && !b.Plain {
		return fmt.Errorf("%s sends readings and password in the clear to another machine: use mqtts://, or allow it by mqtt_broker_plain", at)
	}
	return nil
}

// brokerConfig is what a client of the broker needs to log in.
func (c *Config) brokerConfig() (brokerd.Config, error) {
	at, _, err := brokerd.ParseURL(c.Broker.URL)
	cfg := brokerd.Config{Address: at, User: c.Broker.User, Password: c.Broker.Password, Group: c.Broker.Group, BindsTopics: c.Broker.ACL,
		ClientID: fmt.Sprintf("lamppost-%s-%s", or(c.Network, "lamppost"), or(c.Member, "node1")), Now: c.Now, Log: c.Log}
	if err != nil || c.Broker.CA == "" {
		return cfg, err
	}
	text, err := os.ReadFile(c.Broker.CA)
	if err != nil {
		return cfg, fmt.Errorf("reading the authorities of the broker's certificate: %w", err)
	}
	cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	if !cfg.TLS.RootCAs.AppendCertsFromPEM(text) {
		return cfg, fmt.Errorf("the file %q of authorities of the broker's certificate holds no certificate in PEM", c.Broker.CA)
	}
	return cfg, nil
}

// ProbeBroker tries whether the broker of a configuration that was checked can be reached and takes the log-in. It takes no
// message there. Without a broker it does nothing.
func (c *Config) ProbeBroker(ctx context.Context) error {
	if c.Broker.URL == "" {
		return nil
	}
	cfg, err := c.brokerConfig()
	if err != nil {
		return err
	}
	client, err := brokerd.New(cfg)
	if err != nil {
		return err
	}
	return client.Probe(ctx)
}

// openBroker makes the client of the broker, where there is one. It connects in Run: a broker that is away for a while is
// no reason not to start.
func (n *Node) openBroker() (*brokerd.Client, error) {
	if n.cfg.Broker.URL == "" {
		return nil, nil
	}
	cfg, err := n.cfg.brokerConfig()
	if err != nil {
		return nil, err
	}
	cfg.Submit, cfg.Metrics = n.in, brokerd.NewMetrics(n.registry)
	if n.watchesDoors() {
		cfg.Tally = n.brokered
	}
	if n.foreign != nil {
		cfg.Foreign, cfg.Filters = n.foreign, n.mapped
	}
	return brokerd.New(cfg)
}

// Broker is the address of the MQTT broker that the node joins, "" if it joins none.
func (n *Node) Broker() string {
	if n.broker == nil {
		return ""
	}
	return n.broker.Address()
}

// brokerStatus is how the node stands with its broker, nil where it has none.
func (n *Node) brokerStatus() *api.Broker {
	if n.broker == nil {
		return nil
	}
	s := n.broker.Status()
	b := &api.Broker{Address: n.broker.Address(), Connected: s.Connected, Since: lamppost.TimeMS(s.Since.UnixMilli()),
		Received: s.Received, Redelivered: s.Redelivered, Acknowledged: s.Acknowledged, Refused: s.Refused}
	if s.Err != nil {
		b.Error = s.Err.Error()
	}
	return b
}
