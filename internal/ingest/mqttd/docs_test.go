package mqttd_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest/mqttd"
)

// The codes and the PUBACK reasons in docs/devices.md are those of the code, and no code is missing or made up.
func TestDocumentedReasons(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/devices.md")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	_, codes, _ := strings.Cut(string(text), "## Codes")
	for line := range strings.Lines(codes) {
		if cells := strings.Split(line, "|"); len(cells) == 6 && strings.Contains(cells[1], "`") {
			found[strings.Trim(cells[1], " `")] = strings.TrimSpace(cells[2])
		}
	}
	for i, name := range lamppost.CodeNames() {
		if want := fmt.Sprintf("0x%02x", mqttd.ReasonCode(lamppost.Code(i))); found[name] != want {
			t.Errorf("docs/devices.md has reason %q for %s, want %s", found[name], name, want)
		}
	}
	if len(found) != len(lamppost.CodeNames()) {
		t.Errorf("docs/devices.md has %d codes, want %d", len(found), len(lamppost.CodeNames()))
	}
}
