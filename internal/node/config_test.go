package node_test

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"time"

	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/internal/notify"
)

// docs/node.yaml shows every setting, and says of each what is true.
func TestExampleConfig(t *testing.T) {
	t.Parallel()
	var got node.Config
	must(t, got.ReadConfig("../../docs/node.yaml"))
	want := node.Config{Data: "/var/lib/lamppost", Network: "house-7", Member: "cellar", MemberListen: "0.0.0.0:7650", Peers: map[lamppost.MemberID]string{"south": "10.0.0.7:7650"}, HTTP: "0.0.0.0:8443", MQTT: "0.0.0.0:8883",
		TLSCert: "/etc/lamppost/cert.pem", TLSKey: "/etc/lamppost/key.pem", TLSClientCA: "/etc/lamppost/devices-ca.pem",
		Mapping: "/etc/lamppost/mapping.yaml", Parties: "/etc/lamppost/parties.json", AdmitUnsigned: true, Verify: "gateway", Sample: 0.02,
		Providers: []node.Provider{{Name: "zahlfix", Kind: "standard", Seller: "works", Secrets: "/etc/lamppost/zahlfix.secrets"}},
		Broker: node.Broker{URL: "mqtts://broker.example:8883", User: "lamppost", Password: "correct-horse", CA: "/etc/lamppost/broker-ca.pem",
			Group: "house-7", ACL: true, Plain: true},
		Linger: 25 * time.Millisecond, Segment: 512, Publish: 500 * time.Millisecond,
		Witnesses: []node.Witness{
			{VKey: "witness.example+2f09c566+BHOKIHM3cDiDr2o0P2nO0p2XVfSprPj82ShbBRVgq2dP", URL: "https://witness.example"},
			{VKey: "w1.utility.example+ef1e2147+BMo65oSXVMRs1rNLdRn2HrZ89jSv+PW2xPI4V8qBpRNM", URL: "https://w1.utility.example"}},
		Notify:        notify.Config{Webhooks: []notify.Webhook{{URL: "https://ops.example/lamppost", Secret: "/etc/lamppost/ops.secret"}}, Refractory: time.Hour, Lang: "de", Zone: "Europe/Berlin"},
		WitnessQuorum: 1, WitnessEvery: 5 * time.Second, SnapshotEvery: node.Every(24 * time.Hour), Scrub: node.Every(168 * time.Hour), Triage: "on", TriageMemory: 512, LogArchive: "/mnt/archive/house-7",
		Learn: []node.Learn{{Model: "home-load", Owners: []lamppost.PartyID{"tenant-3", "tenant-4"}, Reading: "energy", Step: time.Hour, Horizon: 24}},
		Pay:   node.Pay{Payee: "meter-door", Tariff: "readings", Prices: map[string]string{"GET /api/export/readings.parquet": "0.50", "GET /api/devices/{id}/series": "0.004"}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
	for i := range reflect.TypeFor[node.Config]().NumField() {
		field := reflect.TypeFor[node.Config]().Field(i)
		if field.Tag.Get("yaml") != "-" && reflect.ValueOf(got).Field(i).IsZero() {
			t.Errorf("the example says nothing of %q", field.Tag.Get("yaml"))
		}
	}
	must(t, got.Check())
}

// Defaults are those the comments and the example promise.
func TestDefaults(t *testing.T) {
	t.Parallel()
	c := node.Config{Data: "x"}
	must(t, c.Check())
	if c.HTTP != "127.0.0.1:8080" || c.MQTT != "127.0.0.1:1883" || c.Publish != 500*time.Millisecond || c.Sample != 0.01 || c.Now == nil || c.Log == nil || c.Speed != 1 {
		t.Errorf("defaults %+v", c)
	}
}

// A file with a mistake in it is refused, with the place; nothing is guessed.
func TestReadConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want []string // of the error; none: it is good
	}{
		{"", nil},
		{" \n# nothing but a comment\n", nil},
		{"data: x\n", nil},
		{"data: x\nport: 80\n", []string{"port", "[2:"}},
		{"data: x\ntls-cert: y\n", []string{"tls-cert", "[2:"}},
		{"data: x\nspeed: 100\n", []string{"speed"}}, // for programs only
		{"linger: soon\n", []string{`"soon"`}},
		{"data: x\nsnapshot_every: off\n", nil},
		{"snapshot_every: seldom\n", []string{`"seldom" is neither a time such as 24h nor off`}},
		{"snapshot_every: -1h\n", []string{"-1h"}},
		{"data: [a, b]\n", []string{"[1:"}},
		{"data: x\ndata: y\n", []string{"data", "[2:"}},
		{"data: x\n  http: y\n", []string{"[1:"}},
	} {
		path := filepath.Join(t.TempDir(), "node.yaml")
		must(t, os.WriteFile(path, []byte(c.text), 0o600))
		err := new(node.Config).ReadConfig(path)
		if c.want == nil && err != nil {
			t.Errorf("%q: %v", c.text, err)
		}
		for _, word := range c.want {
			if err == nil || !strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), path) {
				t.Errorf("%q: error %v, want the file's name and %q", c.text, err, word)
			}
		}
	}
	missing := filepath.Join(t.TempDir(), "none.yaml")
	if err := new(node.Config).ReadConfig(missing); err == nil || !strings.Contains(err.Error(), "is not there") {
		t.Errorf("a file that is not there: %v", err)
	}
}

// What contradicts itself, or would talk in the clear to other machines, is refused in words that say what to change.
func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		change func(*node.Config)
		want   string // of the error; empty: it is good
	}{
		{func(*node.Config) {}, ""},
		{func(c *node.Config) { c.Data = "" }, "--data"},
		{func(c *node.Config) {
			c.Learn = []node.Learn{{Model: "load", Owners: []lamppost.PartyID{"ada"}, Reading: "energy"}}
		}, ""},
		{func(c *node.Config) { c.Learn = []node.Learn{{Model: "load", Reading: "energy"}} }, "say owners"},
		{func(c *node.Config) {
			c.Learn = []node.Learn{{Model: "a load", Owners: []lamppost.PartyID{"ada"}, Reading: "energy"}}
		}, "an id has only"},
		{func(c *node.Config) {
			c.Learn = []node.Learn{{Model: "load", Owners: []lamppost.PartyID{"ada"}, Reading: "energy", Step: time.Minute}}
		}, "whole number of steps"},
		{func(c *node.Config) { c.MQTT = "off" }, ""},
		{func(c *node.Config) { c.HTTP = "off" }, "cannot be off"},
		{func(c *node.Config) { c.HTTP = "[::1]:80" }, ""},
		{func(c *node.Config) { c.HTTP = "localhost:80" }, ""},
		{func(c *node.Config) { c.HTTP = "127.0.0.1" }, "not host:port"},
		{func(c *node.Config) { c.MQTT = "1883" }, "not host:port"},
		{func(c *node.Config) { c.HTTP = ":8080" }, "tls_cert"},
		{func(c *node.Config) { c.HTTP = "0.0.0.0:8080" }, "tls_cert"},
		{func(c *node.Config) { c.MQTT = "192.0.2.7:1883" }, "tls_cert"},
		{func(c *node.Config) { c.MQTT = "meters.example:1883" }, "tls_cert"},
		{func(c *node.Config) { c.HTTP, c.TLSCert, c.TLSKey = ":8443", "c", "k" }, ""},
		{func(c *node.Config) { c.TLSCert = "c" }, "belong together"},
		{func(c *node.Config) { c.TLSKey = "k" }, "belong together"},
		{func(c *node.Config) { c.TLSClientCA = "ca" }, "tls_client_ca"},
		{func(c *node.Config) { c.TLSClientCA, c.TLSCert, c.TLSKey = "ca", "c", "k" }, ""},
		{func(c *node.Config) { c.Publish = 2 * time.Second }, "publish"},
		{func(c *node.Config) { c.Publish = -1 }, "publish"},
		{func(c *node.Config) { c.Linger = time.Hour }, "linger"},
		{func(c *node.Config) { c.Linger = -1 }, "linger"},
		{func(c *node.Config) { c.Segment = 5000 }, "segment"},
		{func(c *node.Config) { c.Scrub = node.Every(time.Second) }, "scrub"},
		{func(c *node.Config) { c.SnapshotEvery = node.Every(time.Second) }, "snapshot_every"},
		{func(c *node.Config) { c.Broker.URL = "mqtts://broker.example" }, ""},
		{func(c *node.Config) { c.Broker.URL = "mqtt://127.0.0.1" }, ""},
		{func(c *node.Config) { c.Broker.URL, c.MQTT = "mqtt://localhost:1884", "off" }, ""},
		{func(c *node.Config) { c.Broker.URL = "mqtt://ann:hush@broker.example" }, "mqtt://broker.example:1883 sends readings and password in the clear"},
		{func(c *node.Config) { c.Broker.URL, c.Broker.Plain = "mqtt://broker.example", true }, ""},
		{func(c *node.Config) { c.Broker.URL = "broker.example:1883" }, "mqtt_broker: it begins neither with mqtt://"},
		{func(c *node.Config) { c.Broker.User = "ann" }, "mean nothing without its address"},
		{func(c *node.Config) { c.Broker.ACL = true }, "mean nothing without its address"},
		{func(c *node.Config) { c.Broker.URL, c.Broker.CA = "mqtt://localhost", "ca.pem" }, "mqtt_broker_ca means nothing without TLS"},
		{func(c *node.Config) { c.Broker.URL, c.Broker.Group = "mqtt://localhost", "a/b" }, "mqtt_broker_group"},
		{func(c *node.Config) {
			c.Providers = []node.Provider{{Name: "z", Kind: "stripe", Seller: "works", Secrets: "f"}}
		}, ""},
		{func(c *node.Config) { c.Providers = []node.Provider{{Name: "z", Kind: "stripe", Seller: "works"}} }, "secrets names no file"},
		{func(c *node.Config) {
			c.Providers = []node.Provider{{Name: "z", Kind: "cash", Seller: "works", Secrets: "f"}}
		}, "is not one of standard, stripe"},
		{func(c *node.Config) { c.Providers = []node.Provider{{Name: "z", Kind: "stripe", Secrets: "f"}} }, "seller"},
		{func(c *node.Config) {
			p := node.Provider{Name: "z", Kind: "stripe", Seller: "works", Secrets: "f"}
			c.Providers = []node.Provider{p, p}
		}, "is there twice"},
		{func(c *node.Config) { c.Network = "my network" }, "network"},
		{func(c *node.Config) { c.Member = "node/1" }, "member"},
	} {
		cfg := node.Config{Data: "x"}
		c.change(&cfg)
		err := cfg.Check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: error %v, want %q", cfg, err, c.want)
		}
	}
}

// A payment provider whose secrets cannot be read is told of when the node starts, and not when money comes.
func TestProviderSecrets(t *testing.T) {
	t.Parallel()
	secrets := filepath.Join(t.TempDir(), "secrets")
	cfg := node.Config{Data: t.TempDir(), HTTP: "127.0.0.1:0", MQTT: "off", NoFsync: true,
		Providers: []node.Provider{{Name: "zahlfix", Kind: "stripe", Seller: "works", Secrets: secrets}}}
	if _, err := node.Open(cfg); err == nil || !strings.Contains(err.Error(), secrets) {
		t.Errorf("without the file: %v", err)
	}
	must(t, os.WriteFile(secrets, []byte("whsec_0123456789abcdef\n"), 0o600))
	n, err := node.Open(cfg)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, n.Run(ctx))
}
