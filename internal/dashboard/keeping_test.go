package dashboard_test

import (
	"context"
	"testing"

	"github.com/lamppost/lamppost/internal/dashboard/browsertest"
)

// keeping is what /api/keeping answers: a rule for all and one for a lamp, a hold and one that was lifted, an erasure that is
// done and one that is not.
func (d *district) keeping() map[string]any {
	const day = 24 * 3600 * 1000
	rule := func(device string, raw, sums int) map[string]any {
		return map[string]any{"device": device, "raw_days": raw, "summary_days": sums}
	}
	hold := func(id string, lifted bool) map[string]any {
		return map[string]any{"id": id, "device": "flat-3", "from_ms": d.now - 60*day, "to_ms": d.now - 30*day, "reason": "dispute of invoice riverside-000007", "lifted": lifted}
	}
	erasure := func(height int, device, party string, attested map[string]any, backups ...string) map[string]any {
		return map[string]any{"height": height, "index": 0, "device": device, "party": party, "basis": "GDPR Art. 17(1)(b)", "time_ms": d.now - day, "due_ms": d.now,
			"attested_ms": attested, "backups": backups, "overdue": len(backups) > 0}
	}
	return map[string]any{
		"retentions": []any{rule("", 30, 730), rule("lamp-05", 7, 7)},
		"holds":      []any{hold("dispute-17", false), hold("dispute-9", true)},
		"erasures":   []any{erasure(12, "flat-9", "", map[string]any{member: d.now - day/2}), erasure(90, "", "tenant-9", map[string]any{}, "20261101-120000")},
		"archive":    map[string]any{"packs": 4, "bytes": 31_400_000, "reports": 412_000, "kept": 288_400},
		"backups":    []any{map[string]any{"id": "20261101-120000", "height": 80, "time_ms": d.now - 20*day, "path": "/mnt/backup/house-7.lpb", "host": "house-7", "erased": 12, "whole": true, "state": "elsewhere"}},
	}
}

// The log's page says how long what is kept, what is on hold, and of each erasure who has forgotten.
func testKeeping(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Phone)
	p.Visit("#/log", "#kept li:nth-child(2)")
	p.WaitText("#kept li:first-child", "Reports: raw for 30 days, in summaries for 2 years.")
	p.WaitText("#kept li:nth-child(2)", "Reports of lamp-05: raw for 7 days, then only that they were there.")
	p.WaitText("[aria-labelledby=keeping-h]", "288,400 of 412,000 older reports are there raw, in 31.4 MB.")
	p.WaitText("[aria-labelledby=keeping-h]", "dispute of invoice riverside-000007 (dispute-17)")
	p.WaitText("#erased li:first-child", "The name of tenant-9")
	p.WaitText("#erased li:first-child", "Overdue")
	p.WaitText("#erased li:first-child", "the backup 20261101-120000 still has it")
	p.WaitText("#erased li:nth-child(2)", "Out of every file of "+member)
	if n := browsertest.Value[int](p, "[...document.querySelectorAll('li')].filter((e) => e.textContent.includes('dispute-9')).length"); n != 0 {
		t.Error("a hold that was lifted is shown")
	}
	if over := browsertest.Value[[]string](p, browsertest.Overflow); len(over) > 0 {
		t.Errorf("wider than the screen: %q", over)
	}
	p.Clean()
}
