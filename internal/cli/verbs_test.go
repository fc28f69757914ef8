package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
	"github.com/spf13/cobra"
)

// lamp runs the program as a person would and returns what it prints and its error.
func lamp(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := rootCmd()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// spaces are what columns are aligned with.
var spaces = regexp.MustCompile(" +")

// says runs the program and fails unless it succeeds and prints all the words.
func says(t *testing.T, args []string, words ...string) string {
	t.Helper()
	out, err := lamp(t, args...)
	if err != nil {
		t.Fatalf("lamppost %q: %v", args, err)
	}
	for _, w := range words {
		if !strings.Contains(spaces.ReplaceAllString(out, " "), w) {
			t.Errorf("lamppost %q does not say %q:\n%s", args, w, out)
		}
	}
	return out
}

// fails runs the program and fails unless it ends with an error that says all the words.
func fails(t *testing.T, args []string, words ...string) {
	t.Helper()
	out, err := lamp(t, args...)
	if err == nil {
		t.Fatalf("lamppost %q succeeds: %s", args, out)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("lamppost %q: error %q does not say %q", args, err, w)
		}
	}
}

// startNode runs a real node in a folder, on a clock that begins at a time, and returns its address.
func startNode(t *testing.T, dir, clock string) *node.Node {
	t.Helper()
	begin, err := time.Parse(time.RFC3339, clock)
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	return startNodeAt(t, dir, func() time.Time { return begin.Add(time.Since(started)) })
}

// startNodeAt is startNode on the caller's clock, which may jump: the node looks at it often.
func startNodeAt(t *testing.T, dir string, now func() time.Time) *node.Node {
	t.Helper()
	return startNodeOf(t, dir, "house", now)
}

// startNodeOf is startNodeAt of a network; "": that of the folder.
func startNodeOf(t *testing.T, dir, network string, now func() time.Time) *node.Node {
	t.Helper()
	n, err := node.Open(node.Config{Data: dir, Network: network, HTTP: "127.0.0.1:0", MQTT: "127.0.0.1:0", NoFsync: true, Publish: 10 * time.Millisecond, Now: now, Speed: 100})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return n
}

// The verbs do what the quick start says, against a real node: register, enrol, report, bill, pay, and take home a
// statement that verifies. It is one story, since each step needs the one before. (It sets the environment, so it does
// not run in parallel.)
func TestVerbs(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir, "2026-12-01T12:00:00Z")
	t.Setenv("LAMPPOST_URL", n.URL())
	t.Setenv("LAMPPOST_TOKEN", "")
	verb := func(args ...string) []string { return append(args, "--data", dir) }

	says(t, verb("party", "list"), "No parties yet")
	says(t, verb("party", "add", "landlord", "--name", "Lena Landlord"), "Party landlord is registered (block 2)")
	says(t, verb("party", "add", "tenant-3", "--name", "Tom \x1b[31mTenant", "--credit-limit", "500.00"), "registered")
	fails(t, verb("party", "add", "tenant-3"), `"tenant-3" is taken`, "exists")
	fails(t, verb("party", "add", "a", "--credit-limit", "5,00"), "500.00")
	if out := says(t, verb("party", "list"), "CREDIT LIMIT", "500.00", "Tenant"); strings.Contains(out, "\x1b") {
		t.Error("a name moves the terminal's cursor")
	}

	token := enrol(t, n, verb)
	says(t, verb("point", "add", "flat-3", "--device", "meter-3", "--place", "Flat 3"), "flat-3 measures energy of meter-3 in Wh")
	says(t, verb("point", "list"), "flat-3", "Flat 3")
	addTariff(t, verb)
	says(t, verb("agreement", "add", "flat-3-power", "--seller", "landlord", "--buyer", "tenant-3", "--point", "flat-3", "--tariff", "house-power",
		"--from", "2026-11-01"), "from 2026-11-01 until further notice")
	fails(t, verb("agreement", "add", "x", "--seller", "landlord", "--buyer", "tenant-3", "--point", "flat-3", "--tariff", "house-power",
		"--from", "2026-11-01T00:10:00+01:00"), "quarter hour")
	fails(t, verb("agreement", "add", "x", "--seller", "landlord", "--buyer", "tenant-3", "--point", "flat-3", "--tariff", "none",
		"--from", "2026-11-01"), `no tariff "none"`, "tariff list")
	says(t, verb("agreement", "list"), "flat-3-power", "2026-11-01 further notice")

	create := verb("invoice", "create", "--seller", "landlord", "--buyer", "tenant-3", "--from", "2026-11-01", "--to", "2026-11-03")
	fails(t, create, "no register reading", "not_ready")
	report(t, n, token)
	// Each day 16 kWh by day at 0.34 and 8 kWh by night at 0.28, 0.15 standing: 2 × (5.44 + 2.24 + 0.15) = 15.66, and 19 %.
	says(t, create, "Invoice landlord-000001", "2026-11-01 until 2026-11-03", "day", "32.000 kWh", "16.000 kWh", "10.88", "4.48", "15.66", "2.98", "18.64 EUR")
	fails(t, create, "billed until", "exists")
	says(t, verb("invoice", "list", "--buyer", "tenant-3"), "landlord-000001", "18.64")
	says(t, verb("invoice", "list", "--buyer", "landlord"), "No invoices")
	says(t, verb("invoice", "show", "landlord-000001"), "Lena Landlord (landlord)", "2026-11-01 until 2026-11-03", "18.64 EUR")
	fails(t, verb("invoice", "show", "landlord-000002"), "not_found")

	says(t, verb("transfer", "--from", "tenant-3", "--to", "landlord", "--amount", "18.64", "--currency", "EUR"), "18.64 EUR moved")
	fails(t, verb("transfer", "--from", "tenant-3", "--to", "landlord", "--amount", "9999", "--currency", "EUR"), "no_funds")
	says(t, verb("device", "show", "meter-3"), "Owner: landlord", "number 1/2 is the latest", "energy")
	says(t, verb("status"), "Network: house, member node1", "Signatures: all checked by every replica", "1 online", "Billed: 18.64 EUR")
	statement(t, dir, verb)
	asJSON(t, verb)
	watched(t, verb)
	sessions(t, verb)
}

// enrol announces a device, enrols its key with what the verb printed, and returns the token.
func enrol(t *testing.T, n *node.Node, verb func(...string) []string) string {
	t.Helper()
	says(t, verb("device", "list"), "No devices yet")
	out := says(t, verb("device", "add", "meter-3", "--owner", "landlord", "--name", "Meter 3", "--safety", "ordinary"), "shown this once", n.MQTTAddr(), n.URL())
	if lines := strings.Count(out, "\n"); lines != 4 {
		t.Errorf("%d lines, want 4:\n%s", lines, out)
	}
	fails(t, verb("device", "add", "meter-3", "--owner", "landlord"), "taken")
	says(t, verb("device", "list"), "meter-3", "waits for its key")
	fails(t, verb("device", "show", "meter-3"), "has not enrolled")
	token := regexp.MustCompile(`shown this once: ([0-9a-f]{32})\n`).FindStringSubmatch(out)[1]
	key, err := sig.NewPrivateKey(sig.EdDSA, bytes.Repeat([]byte{7}, sig.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	got, err := device.Enrol(t.Context(), device.Enrolment{URL: n.URL(), Device: "meter-3", Token: token, Key: key})
	if err != nil || got.Network != "house" || got.KeyEpoch != 1 {
		t.Fatalf("enrolled %+v, %v", got, err)
	}
	says(t, verb("device", "list"), "Meter 3", "silent")
	return token
}

// addTariff registers the example as it is printed, which must be valid for this to work. The test machine's clock is not the
// node's, so the year is that of the test.
func addTariff(t *testing.T, verb func(...string) []string) {
	t.Helper()
	var printed tariff.Tariff
	if err := json.Unmarshal([]byte(says(t, []string{"tariff", "example"}, "Europe/Berlin")), &printed); err != nil || printed.Validate() != nil {
		t.Fatalf("the example is not valid: %v, %v", err, printed.Validate())
	}
	example, err := exampleTariff(time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(example)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "tariff.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	says(t, verb("tariff", "add", file), "Tariff house-power version 1 is registered")
	fails(t, verb("tariff", "add", file), "the next is 2")
	fails(t, verb("tariff", "add", file+"x"), "no such file")
	says(t, verb("tariff", "list"), "house-power", "2026-01-01", "day 0.34, night 0.28 EUR/kWh", "19.00 %")
}

// report sends two days of billing reports over HTTP: a kilowatt, all the time, from midnight in Berlin.
func report(t *testing.T, n *node.Node, token string) {
	t.Helper()
	key, err := sig.NewPrivateKey(sig.EdDSA, bytes.Repeat([]byte{7}, sig.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	midnight := time.Date(2026, 10, 31, 23, 0, 0, 0, time.UTC)
	sender := device.NewHTTP(n.URL(), "meter-3", token, nil)
	for day := range 2 {
		r := lamppost.Report{Device: "meter-3", KeyEpoch: 1, Seq: lamppost.Seq{Epoch: 1, N: uint64(day + 1)}, Flags: lamppost.FlagBilling,
			TimeQuality: lamppost.TimeSynchronised}
		for hour := day * 24; hour <= (day+1)*24; hour++ {
			at := lamppost.TimeMS(midnight.Add(time.Duration(hour) * time.Hour).UnixMilli())
			r.Readings = append(r.Readings, lamppost.Reading{Name: "energy", Unit: "Wh", Time: at, Kind: lamppost.Register, Value: lamppost.Dec(int64(hour)*1000, 0)})
		}
		raw, err := lamppost.SignReport(&r, "house", key)
		if err != nil {
			t.Fatal(err)
		}
		if ack, err := sender.Send(t.Context(), raw); err != nil || ack.Code != lamppost.CodeOK {
			t.Fatalf("report %d: %+v, %v", day+1, ack, err)
		}
	}
}

// statement fetches a statement and checks it against the pin that the node wrote.
func statement(t *testing.T, dir string, verb func(...string) []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "november.json")
	says(t, verb("statement", "tenant-3", "-o", file), "lamppost verify --pin network.pin "+file)
	says(t, []string{"verify", "--pin", filepath.Join(dir, "network.pin"), file}, "18.64")
	text, err := os.ReadFile(filepath.Join(dir, "network.pin"))
	if err != nil {
		t.Fatal(err)
	}
	pin, err := audit.ParsePin(string(text))
	if err != nil {
		t.Fatal(err)
	}
	out := says(t, verb("statement", "tenant-3", "-o", "-"))
	if found, err := audit.Verify([]byte(out), pin); err != nil || found.Invoices != 1 {
		t.Errorf("%+v, %v", found, err)
	}
	fails(t, verb("statement", "landlord"), "no invoice yet")

	copies(t, dir, file, verb)
	page := filepath.Join(t.TempDir(), "november.html")
	said := says(t, verb("statement", "tenant-3", "--self-check", page), "a page that checks itself", pin.Fingerprint())
	if strings.Contains(said, ".json") {
		t.Errorf("with --self-check alone it also writes a file: %s", said)
	}
	says(t, []string{"verify", "--pin", filepath.Join(dir, "network.pin"), page}, "holds", "checker is this program's own", "18.64")
	receipt := filepath.Join(t.TempDir(), "receipt.json")
	says(t, verb("device", "receipt", "meter-3", "-o", receipt, "--self-check", page), "Receipt of report", "written to "+receipt, "written to "+page)
	says(t, []string{"verify", "--pin", filepath.Join(dir, "network.pin"), receipt, page}, "of device meter-3 with", "checker is this program's own")
	fails(t, verb("device", "receipt", "meter-3", "4711"), "4711")
	fails(t, verb("device", "receipt"), "the device's id")
}

// copies writes the statement for people: from the node, and from its file; both ways give the same bill.
func copies(t *testing.T, dir, file string, verb func(...string) []string) {
	t.Helper()
	pin, out := filepath.Join(dir, "network.pin"), t.TempDir()
	for _, format := range []string{"html", "pdf", "csv", "xml"} {
		says(t, verb("statement", "tenant-3", "--"+format, "--lang", "de", "-o", out), "Copy written to "+filepath.Join(out, "invoice-landlord-000001."+format))
		again := filepath.Join(out, "again")
		says(t, []string{"statement", file, "--pin", pin, "--" + format, "--lang", "de", "--invoice", "landlord-000001", "-o", again}, again)
		one, err1 := os.ReadFile(filepath.Join(out, "invoice-landlord-000001."+format))
		two, err2 := os.ReadFile(again)
		booked := format == "csv" || format == "xml" // without the checkpoint, which goes on
		if err1 != nil || err2 != nil || len(one) == 0 || booked && string(one) != string(two) {
			t.Errorf("%s: from the node and from the file differ (%v, %v)", format, err1, err2)
		}
	}
	if page := says(t, []string{"statement", file, "--html", "--lang", "en", "-o", "-"}); !strings.Contains(page, "against a pin") {
		t.Error("a copy that was held against no pin does not say so")
	}
	for _, c := range [][]string{{file, "--html, --pdf"}, {file, "--pdf", "--csv", "too much"}, {file, "--pdf", "--lang", "tlh", "en, de, es"},
		{file, "--pdf", "--invoice", "x-1", "no invoice"}, {file, "--lang", "de", "--html"}, {file, "--pdf", "--pin", file, "reading the pin"}, {"no-such.json", "--pdf", "no-such.json"}} {
		args, hint := c[:len(c)-1], c[len(c)-1]
		fails(t, append([]string{"statement"}, args...), hint)
	}
	fails(t, verb("statement", "tenant-3", "--pdf", "--lang", "tlh"), "en, de, es")
	fails(t, verb("statement", "tenant-3", "--pdf", "--pin", pin), "--pin and --parties")
}

// watched tells triage what it cannot see, and asks what it found, which is nothing.
func watched(t *testing.T, verb func(...string) []string) {
	t.Helper()
	says(t, verb("watch", "list"), "Triage was told nothing")
	says(t, verb("watch", "point", "flat-3", "--size", "11000", "--off", "2026-12-01", "--on", "2027-02-01"), "flat-3: lets 11000 through in an hour, off from")
	says(t, verb("watch", "device", "meter-3", "--firmware", strings.Repeat("9f", 32)), "meter-3: firmware that may run: 1")
	says(t, verb("watch", "budget", "20"), "20 alarms")
	fails(t, verb("watch", "budget", "many"), "no number of alarms")
	says(t, verb("watch", "list"), "flat-3", "meter-3", "20 alarms")
	says(t, verb("verdict", "list", "--open"), "No verdicts")
	fails(t, verb("verdict", "show", "v1.0.0"), "not_found", "no verdict v1.0.0")
	fails(t, verb("verdict", "review", "v1.0.0", "valid"), "no verdict v1.0.0")
	fails(t, verb("verdict", "review", "v1.0.0", "fine"), "seen, normal, valid or wrong")
	fails(t, verb("verdict", "review", "v1.0.0"), "an answer")
}

// sessions charges somebody who has no agreement, by readings that were entered by hand.
func sessions(t *testing.T, verb func(...string) []string) {
	t.Helper()
	says(t, verb("party", "add", "guest", "--credit-limit", "50"))
	says(t, verb("point", "add", "bay", "--device", "meter-3", "--register", "charge", "--sessions"))
	bill := verb("invoice", "create", "--seller", "landlord", "--buyer", "guest", "--from", "2026-12-01", "--to", "2026-12-01T12:00:00+01:00")
	fails(t, bill, "no agreement and no settled session", "lamppost session list")
	says(t, verb("session", "open", "s-1", "--point", "bay", "--buyer", "guest", "--tariff", "house-power", "--limit", "5.00", "--from", "2026-12-01T10:00:00+01:00", "--for", "90m"),
		"until 2026-12-01 11:30:00 at the latest; 5.95 EUR of guest are held")
	for at, value := range map[string]string{"2026-12-01T10:01:20+01:00": "1000", "2026-12-01T10:55:07+01:00": "11000"} {
		says(t, verb("reading", "enter", "meter-3", "charge", at, value, "--estimated", "--reason", "the charger was offline"), value+" Wh, estimated")
	}
	says(t, verb("session", "settle", "s-1", "--at", "2026-12-01T11:00:00+01:00"), "Session s-1 comes to 3.40 EUR before tax; the next invoice to guest has it")
	says(t, verb("session", "list", "--state", "settled"), "s-1", "5.95 EUR")
	says(t, bill, "session s-1: day", "10.000 kWh", "4.05 EUR")
	says(t, verb("session", "list"), "billed", "landlord-000002")
	for _, args := range [][]string{{"session", "list"}, {"dispute", "list"}, {"point", "show", "bay"}, {"session", "quote", "--tariff", "house-power"},
		{"tariff", "try", "house-power", "--point", "flat-3", "--from", "2026-11-01", "--to", "2026-11-03"}} {
		out := says(t, append(verb(args...), "--json"))
		if !json.Valid([]byte(out)) {
			t.Errorf("lamppost %q --json: %s", args, out)
		}
	}
}

// asJSON checks that --json prints one JSON object, for every verb that reads.
func asJSON(t *testing.T, verb func(...string) []string) {
	t.Helper()
	for _, args := range [][]string{{"status"}, {"party", "list"}, {"device", "list"}, {"device", "show", "meter-3"}, {"point", "list"},
		{"tariff", "list"}, {"agreement", "list"}, {"invoice", "list"}, {"invoice", "show", "landlord-000001"}, {"statement", "tenant-3"},
		{"party", "add", "late"}, {"device", "token", "meter-3"}} {
		out := says(t, append(verb(args...), "--json"))
		var v map[string]any
		if err := json.Unmarshal([]byte(out), &v); err != nil || len(v) == 0 {
			t.Errorf("lamppost %q --json: %v: %s", args, err, out)
		}
	}
}

// Where the node cannot be asked, the error says what to do.
func TestVerbsWithoutNode(t *testing.T) {
	t.Setenv("LAMPPOST_URL", "")
	t.Setenv("LAMPPOST_TOKEN", "")
	fails(t, []string{"status"}, "--data DIR", "LAMPPOST_TOKEN")
	fails(t, []string{"status", "--data", t.TempDir()}, "admin.token", "data folder of a node?")
	t.Setenv("LAMPPOST_TOKEN", "0123456789abcdef")
	t.Setenv("LAMPPOST_URL", "http://127.0.0.1:1")
	fails(t, []string{"party", "list"}, "no node answers at http://127.0.0.1:1 (connection refused): start one with `lamppost serve --data DIR`, or set LAMPPOST_URL")
	t.Setenv("LAMPPOST_URL", "127.0.0.1:8080")
	fails(t, []string{"party", "list"}, "LAMPPOST_URL", defaultURL)
	n := startNode(t, t.TempDir(), "2026-12-01T12:00:00Z")
	t.Setenv("LAMPPOST_URL", n.URL())
	fails(t, []string{"party", "list"}, "does not take this token", "--data DIR")
}

// Mistakes on the command line are usage errors that say what was meant.
func TestVerbMistakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args  []string
		words string
	}{
		{[]string{"partie", "list"}, "party"},
		{[]string{"party", "lst"}, `did you mean "lamppost party list"?`},
		{[]string{"invoice", "xyzzy"}, `there is no verb "lamppost invoice xyzzy"`},
		{[]string{"device", "add"}, "such as lamp-7"},
		{[]string{"device", "add", "a"}, `"owner" not set`},
		{[]string{"device", "add", "a", "--ownr", "b"}, "unknown flag: --ownr"},
	} {
		_, err := lamp(t, c.args...)
		if err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("lamppost %q: %v does not say %q", c.args, err, c.words)
			continue
		}
		var exit *ExitError
		if !isUsage(err) && !(errors.As(err, &exit) && exit.Code == ExitUsage) {
			t.Errorf("lamppost %q: %v is no usage error", c.args, err)
		}
	}
}

// Every verb shows how it is used.
func TestEveryVerbHasAnExample(t *testing.T) {
	t.Parallel()
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if !cmd.HasSubCommands() && cmd.Name() != "help" && (cmd.Example == "" || cmd.Short == "") {
			t.Errorf("%q has no example or no short help", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(rootCmd())
}

// A date begins at midnight on the tariff's clock, on days of 23, 24 and 25 hours, and where the clock leaves midnight out.
func TestParseInstant(t *testing.T) {
	t.Parallel()
	zone := func(name string) *tariff.Zone {
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		z := tariff.ZoneOf(loc, 1_514_764_800_000, 1_830_297_600_000) // 2018 to 2027
		return &z
	}
	berlin := zone("Europe/Berlin")
	for _, c := range []struct {
		text string
		zone *tariff.Zone
		want string // or words of the error
	}{
		{"2026-11-01", berlin, "2026-10-31T23:00:00Z"},
		{"2026-10-25", berlin, "2026-10-24T22:00:00Z"}, // 25 hours
		{"2026-10-26", berlin, "2026-10-25T23:00:00Z"},
		{"2026-03-29", berlin, "2026-03-28T23:00:00Z"},                    // 23 hours
		{"2018-11-04", zone("America/Sao_Paulo"), "2018-11-04T03:00:00Z"}, // there was no 00:00 that day
		{"2026-11-01", zone("Pacific/Auckland"), "2026-10-31T11:00:00Z"},
		{"2026-11-01T06:30:00+01:00", berlin, "2026-11-01T05:30:00Z"},
		{"2026-11-01T06:30:00Z", nil, "2026-11-01T06:30:00Z"},
		{"2026-11-01", nil, "do not agree on a clock"},
		{"2026-11-01T06:31:00Z", nil, "quarter hour"},
		{"1.11.2026", berlin, "neither a date like 2026-11-01"},
		{"2026-02-30", berlin, "neither a date"},
	} {
		at, err := parseInstant(c.text, c.zone)
		got := time.UnixMilli(int64(at)).UTC().Format(time.RFC3339)
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%q is %s, want %s", c.text, got, c.want)
		}
	}
}
