package dashboard_test

import (
	"context"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/dashboard/browsertest"
)

// The network's page says of each member whose it is, what it does, how far it is, since when it does not answer and when its certificate ends;
// how they agree and what is proposed; and what proves that one lied, which every page says too. It fits at both sizes in both schemes.
func testNetwork(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	d.several = true
	url := d.serve(t).URL
	p := browsertest.Open(t, ctx, url, browsertest.Phone)
	p.Visit("#/network", ".members li:nth-child(4)")
	p.WaitText("#members-words", "3 of 4 answer. coop does not.")
	for selector, want := range map[string][]string{
		".members li:nth-child(1)": {"north", "this node · riverside utility", "votes", "up to date"},
		".members li:nth-child(2)": {"city", "catches up", "37 blocks behind, asked now", "good until"},
		".members li:nth-child(3)": {"coop", "housing coop", "does not answer", "Has not answered since", "(26 min ago)", "connection refused"},
		".members li:nth-child(4)": {"tenants", "votes", "ends in 12 days"},
		"#how": {"CometBFT", "1 of them may be gone or lie", "signed by 2 of 4", "by the word of 3 of 4", "riverside utility and city works trust each other", "version 1",
			"harbour", "by block 212"},
		"#proposed": {"bank (savings bank) comes: 2 of 3 have ordered it (north, city)"},
	} {
		for _, w := range want {
			if got := p.Text(selector); !strings.Contains(got, w) {
				t.Errorf("%s says %q, want %q in it", selector, got, w)
			}
		}
	}
	if strings.Contains(p.Text(".members"), "/api/member") {
		t.Error("the page says what only programs need")
	}
	if got := browsertest.Value[int](p, "document.querySelectorAll('#lies, #alarm *').length"); got != 0 {
		t.Errorf("%d pieces of an alarm are shown without one", got)
	}
	p.Clean()

	d.mu.Lock()
	d.lied = true
	d.mu.Unlock()
	for _, size := range [][2]int64{browsertest.Phone, browsertest.Desktop} {
		for _, scheme := range []string{"light", "dark"} {
			p := browsertest.Open(t, ctx, url, size)
			p.Prefer(scheme)
			p.Visit("#/", ".rows li")
			p.WaitText("#alarm", "A member of the network lied")
			p.Visit("#/network", "#lies")
			p.WaitText("#lies", "tenants signed another log, found")
			p.WaitText(".members li:nth-child(4)", "lied")
			if over := browsertest.Value[[]string](p, browsertest.Overflow); len(over) > 0 {
				t.Errorf("at %d: wider than the screen: %q", size[0], over)
			}
			if pale := browsertest.Value[[]string](p, browsertest.PaleText); len(pale) > 0 {
				t.Errorf("at %d, %s: contrast under 4.5:1: %q", size[0], scheme, pale)
			}
			p.Clean()
		}
	}

	p = browsertest.Open(t, ctx, newDistrict(t).serve(t).URL, browsertest.Desktop)
	p.Visit("#/network", ".members li")
	p.WaitText("#how", "Alone")
	for _, missing := range []string{"A checkpoint counts", "Trust", "Members come and go", "Former"} {
		if strings.Contains(p.Text("#main"), missing) {
			t.Errorf("a node that is alone says something of %q", missing)
		}
	}
	p.WaitText(".members", "this node")
	p.WaitText(".members .pill", "works")
	p.Clean()
}
