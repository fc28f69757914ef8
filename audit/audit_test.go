package audit_test

import (
	"os"
	"testing"

	"github.com/lamppost/lamppost/audit"
)

// A true statement holds, against its pin and, with less weight, without.
func TestStatementHolds(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	data := h.statement()
	if name := os.Getenv("SHOW"); name != "" {
		os.WriteFile(name, data, 0o644)
	}
	for _, pin := range []*audit.Pin{h.pin(1), nil} {
		f, err := audit.Verify(data, pin)
		if err != nil {
			t.Fatalf("Verify(pin %v) = %v", pin, err)
		}
		if f.Pinned != (pin != nil) || f.Lines != 4 || f.Invoices != 1 || f.Readings != 13 {
			t.Errorf("finding = %+v, want 1 invoice of 4 lines on 13 readings", f)
		}
	}
}
