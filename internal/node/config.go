package node

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/judge"
	"github.com/lamppost/lamppost/internal/notify"
	"github.com/lamppost/lamppost/internal/provider"
)

// Config is all that can be set about a node. A YAML file holds the fields with a yaml name; unknown keys are errors;
// flags of `lamppost serve` override the file. The zero value of every field is a sensible default.
type Config struct {
	// Data is the folder that holds everything: chain, log, keys. Required.
	Data string `yaml:"data"`

	// Network and Member name a new network and this node's seat in it; later they must be the same or empty.
	// Defaults: "lamppost" and "node1".
	Network string            `yaml:"network"`
	Member  lamppost.MemberID `yaml:"member"`

	// MemberListen is where the other members of a network connect; default: the port of this member's own address. Peers says
	// where members are that are not at the address in the ledger, as host:port by member.
	MemberListen string                       `yaml:"member_listen"`
	Peers        map[lamppost.MemberID]string `yaml:"peers"`

	// HTTP and MQTT are the addresses to listen on, default 127.0.0.1:8080 and 127.0.0.1:1883. An address that others
	// can reach needs TLS. "off" closes the MQTT door.
	HTTP string `yaml:"http"`
	MQTT string `yaml:"mqtt"`

	// TLSCert and TLSKey are PEM files for both doors. They are read again when they change.
	TLSCert string `yaml:"tls_cert"`
	TLSKey  string `yaml:"tls_key"`
	// TLSClientCA is a PEM file of certificate authorities: a device whose certificate one of them signed, with the device's
	// id as common name, needs no password. Others are let in as before. It is read again when it changes.
	TLSClientCA string `yaml:"tls_client_ca"`

	// Mapping is a file that says what foreign JSON on MQTT topics means, for devices that do not sign. Empty: such messages
	// are refused.
	Mapping string `yaml:"mapping"`
	// Parties is a file of what is known of the parties beyond the log, such as addresses: bills that people read show it. It is
	// read again for each bill.
	Parties string `yaml:"parties"`
	// Providers are payment providers that report by webhook.
	Providers []Provider `yaml:"payment_providers"`
	// Broker is an MQTT broker that others run, for this node to join.
	Broker Broker `yaml:",inline"`

	// AdmitUnsigned lets a new network enrol devices that nobody vouches for. An existing network keeps what it was founded with.
	AdmitUnsigned bool `yaml:"admit_unsigned"`

	// Verify says who checks the devices' signatures in a new network: "full", every replica all of them, or "gateway", gateways
	// on site do and replicas check by sample. An existing network keeps what it was founded with. Default "full".
	Verify string `yaml:"verify"`
	// Sample is the share of the reports of trusted gateways that this node checks itself, above 0 up to 1; default 0.01.
	Sample float64 `yaml:"sample"`

	// Linger is the longest time a report waits for others before its segment is signed; default 25ms.
	Linger time.Duration `yaml:"linger"`
	// Segment is how many reports share a segment at most; default 1024.
	Segment int `yaml:"segment"`
	// Publish is the time between checkpoints; default 500ms, at most 1s.
	Publish time.Duration `yaml:"publish"`

	// Witnesses are asked to cosign the log's checkpoints; WitnessQuorum of them are enough, by default more than half.
	// Receipts and statements are then proven against what is cosigned. WitnessEvery is the shortest time between two
	// checkpoints they are asked for; default 5s, at most 1h.
	Witnesses     []Witness     `yaml:"witnesses"`
	WitnessQuorum int           `yaml:"witness_quorum"`
	WitnessEvery  time.Duration `yaml:"witness_every"`
	// SnapshotEvery is how often the ledger's state is written into a file, on the node's clock; default 24h.
	SnapshotEvery Every `yaml:"snapshot_every"`

	// Scrub is the time in which everything that rests on the disk is read again and checked, slowly; default 168h.
	Scrub Every `yaml:"scrub"`

	// Triage says whether readings are judged: "on", the default, or "off", which forgets what was known. TriageMemory is what detectors may
	// take, in MiB, default 512: a series takes about a fourteenth of one.
	Triage       string `yaml:"triage"`
	TriageMemory int    `yaml:"triage_memory"`

	// LogArchive is a folder, or an address where a web server shows one, with tiles of the log that are not in Data any more.
	LogArchive string `yaml:"log_archive"`

	// Notify says where messages of alarms go.
	Notify notify.Config `yaml:"notify"`

	// Learn says which models this member learns with others, from whose readings. Left out: none.
	Learn []Learn `yaml:"learn"`

	// Pay opens some routes for reading to whoever pays by vouchers. Left out: none.
	Pay Pay `yaml:"pay"`

	// What follows is for programs.

	Now   func() time.Time `yaml:"-"` // the node's clock; default time.Now
	Speed float64          `yaml:"-"` // how fast Now runs, for people to see; default 1
	// Played: a program plays the devices on a fast clock. Minutes at the doors say nothing of behaviour, and agents run in the devices' own
	// controllers, which give their decisions to Take.
	Played  bool          `yaml:"-"`
	Log     *slog.Logger  `yaml:"-"` // default: nothing is logged
	NoFsync bool          `yaml:"-"` // for tests that do not cut the power
	Keep    time.Duration `yaml:"-"` // how often the archive looks for something to do; default 5s

	ForgetEvery time.Duration `yaml:"-"` // how often raft takes a snapshot and forgets its log, default 1h; how long comet keeps blocks, default 12h
}

// A Witness is asked for cosignatures (C2SP tlog-witness).
type Witness struct {
	VKey string `yaml:"vkey"` // its verifier key
	URL  string `yaml:"url"`
}

// A Provider is a payment provider that reports to /api/providers/NAME.
type Provider struct {
	Name    string           `yaml:"name"`
	Kind    string           `yaml:"kind"`    // standard or stripe
	Seller  lamppost.PartyID `yaml:"seller"`  // whose money it is
	Secrets string           `yaml:"secrets"` // file with a secret in each line
}

// ReadConfig reads a YAML file over c.
func (c *Config) ReadConfig(path string) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("configuration %q is not there", path)
	}
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil
	}
	if err := yaml.UnmarshalWithOptions(raw, c, yaml.Strict()); err != nil {
		return fmt.Errorf("configuration %q: %s", path, yaml.FormatError(err, false, true))
	}
	return nil
}

// Check fills in defaults and refuses what contradicts itself.
func (c *Config) Check() error {
	c.HTTP = or(c.HTTP, "127.0.0.1:8080")
	c.MQTT = or(c.MQTT, "127.0.0.1:1883")
	c.Publish = or(c.Publish, 500*time.Millisecond)
	c.Keep = or(c.Keep, 5*time.Second)
	c.Scrub = or(c.Scrub, Every(7*24*time.Hour))
	c.SnapshotEvery = or(c.SnapshotEvery, Every(24*time.Hour))
	c.Speed = or(c.Speed, 1)
	c.WitnessEvery = or(c.WitnessEvery, 5*time.Second)
	c.WitnessQuorum = or(c.WitnessQuorum, quorumOf(len(c.Witnesses)))
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Data == "" {
		return errors.New("a node needs a folder for its data: say --data DIR")
	}
	if err := c.checkNames(); err != nil {
		return err
	}
	if c.Verify != "" {
		if _, err := lamppost.ParsePolicy(c.Verify); err != nil {
			return fmt.Errorf("verify: %w", err)
		}
	}
	if c.Sample = or(c.Sample, 0.01); !(c.Sample > 0 && c.Sample <= 1) {
		return fmt.Errorf("sample is a share of the reports above 0 up to 1, not %v", c.Sample)
	}
	if c.Triage = or(c.Triage, "on"); c.Triage != "on" && c.Triage != "off" {
		return fmt.Errorf("triage is on or off, not %q", c.Triage)
	}
	if c.TriageMemory = or(c.TriageMemory, judge.DefaultBytes>>20); c.TriageMemory < 1 || c.TriageMemory > 1<<20 {
		return fmt.Errorf("triage_memory is from 1 to 1048576 MiB, not %d", c.TriageMemory)
	}
	if c.Publish < 0 || c.Publish > time.Second || c.Linger < 0 || c.Linger > time.Minute {
		return errors.New("publish is at most 1s and linger at most 1m, and neither is negative")
	}
	if c.Segment = or(c.Segment, 1024); c.Segment < 1 || c.Segment > lamppost.MaxSegmentReports {
		return fmt.Errorf("segment is from 1 to %d reports, not %d", lamppost.MaxSegmentReports, c.Segment)
	}
	if c.LogArchive != "" && !strings.Contains(c.LogArchive, "://") {
		var err error
		if c.LogArchive, err = filepath.Abs(c.LogArchive); err != nil {
			return err
		}
	}
	if err := c.checkWitnesses(); err != nil {
		return err
	}
	if err := c.checkProviders(); err != nil {
		return err
	}
	if err := c.Notify.Check(); err != nil {
		return err
	}
	for i := range c.Learn {
		if err := c.Learn[i].check(); err != nil {
			return err
		}
	}
	if _, err := c.Pay.offer(); err != nil {
		return err
	}
	if !c.SnapshotEvery.Off() && c.SnapshotEvery < Every(time.Minute) {
		return errors.New("snapshot_every is at least 1m, or off")
	}
	if !c.Scrub.Off() && c.Scrub < Every(time.Minute) {
		return errors.New("scrub is at least 1m, or off")
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("tls_cert and tls_key belong together: give both or neither")
	}
	if c.TLSClientCA != "" && c.TLSCert == "" {
		return errors.New("tls_client_ca means nothing without tls_cert and tls_key: a device shows its certificate to a node that shows its own")
	}
	if c.HTTP == "off" {
		return errors.New("the HTTP door cannot be off: people and verbs use it too; 127.0.0.1 keeps it on this machine")
	}
	for _, addr := range []string{c.HTTP, c.MQTT} {
		if err := c.checkAddress(addr); err != nil {
			return err
		}
	}
	return c.Broker.check()
}

// checkNames looks at the names where there are any: those of a network that exists stand in its chain.
func (c *Config) checkNames() error {
	if c.Network != "" {
		if err := lamppost.CheckName("network", c.Network); err != nil {
			return err
		}
	}
	if c.Member != "" {
		return lamppost.CheckName("member", string(c.Member))
	}
	return nil
}

// quorumOf is more than half of n witnesses.
func quorumOf(n int) int {
	if n == 0 {
		return 0
	}
	return n/2 + 1
}

// checkWitnesses refuses what would count a witness twice or ask for more than there are.
func (c *Config) checkWitnesses() error {
	if len(c.Witnesses) > lamppost.MaxWitnesses {
		return fmt.Errorf("%d witnesses are over the limit of %d", len(c.Witnesses), lamppost.MaxWitnesses)
	}
	if c.WitnessQuorum < 0 || c.WitnessQuorum > len(c.Witnesses) {
		return fmt.Errorf("a witness_quorum of %d cannot come from %d witnesses", c.WitnessQuorum, len(c.Witnesses))
	}
	if c.WitnessEvery < 0 || c.WitnessEvery > time.Hour {
		return errors.New("witness_every is at most 1h and not negative")
	}
	names := map[string]string{} // by key
	for _, w := range c.Witnesses {
		k, err := lamppost.ParseWitnessKey(w.VKey)
		if err != nil {
			return err
		}
		if other, twice := names[string(k.Public())]; twice {
			return fmt.Errorf("witnesses %q and %q share a key: each counts once", other, k.Name())
		}
		names[string(k.Public())] = k.Name()
		if u, err := url.Parse(w.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("witness %q: %q is not an address such as https://witness.example", k.Name(), w.URL)
		}
	}
	return nil
}

// checkProviders refuses two of one name, and what could read no notice.
func (c *Config) checkProviders() error {
	names := map[string]bool{}
	for _, p := range c.Providers {
		w := provider.Webhook(p)
		if err := w.Check(); err != nil {
			return err
		}
		if names[p.Name] {
			return fmt.Errorf("payment provider %q is there twice", p.Name)
		}
		names[p.Name] = true
	}
	return nil
}

// checkAddress refuses to talk in the clear to anybody but this machine.
func (c *Config) checkAddress(addr string) error {
	if addr == "off" {
		return nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address %q is not host:port", addr)
	}
	ip := net.ParseIP(host)
	if loopback := host == "localhost" || ip != nil && ip.IsLoopback(); !loopback && c.TLSCert == "" {
		return fmt.Errorf("address %q can be reached from other machines: give tls_cert and tls_key, or listen on 127.0.0.1", addr)
	}
	return nil
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Every is a time between two times of doing something, or never. Written, it is a duration such as 24h, or off.
type Every time.Duration

const never Every = -1

// Off says whether it is never done.
func (e Every) Off() bool { return e < 0 }

// UnmarshalText reads it.
func (e *Every) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*e = never
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is neither a time such as 24h nor off", text)
	}
	*e = Every(d)
	return nil
}

// MarshalText writes it as it is read.
func (e Every) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// String writes it as it is read; with Set and Type it is a flag.
func (e Every) String() string {
	if e.Off() {
		return "off"
	}
	return time.Duration(e).String()
}

// Set reads it.
func (e *Every) Set(text string) error { return e.UnmarshalText([]byte(text)) }

// Type names it in the help.
func (*Every) Type() string { return "time|off" }
