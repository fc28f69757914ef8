package advise

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/explore"
	"github.com/lamppost/lamppost/sig"
)

// found writes how the recommended option is set up: a configuration that lamppost serve takes as it is, and what has to be done
// beside it. Where there is no advice it says how to measure what is missing.
func (a *Answer) found(f *Fleet) {
	first := &a.Options[0]
	switch {
	case a.Verdict == "lamppost" && len(first.Members) == 1:
		a.Config, a.Next = first.soloConfig(f), first.soloNext(f)
	case a.Verdict == "lamppost":
		a.Config, a.Next = first.membersConfig(f), first.membersNext(f)
	case a.Verdict == "abstain":
		a.Next = a.measureNext()
	}
}

var spelt = strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "ß", "ss", "é", "e", "è", "e", "ç", "c", "ø", "oe", "å", "aa", "'", "")

// id makes an id of a name.
func id(name string) string {
	text := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r > 127:
			return 'x'
		}
		return '-'
	}, spelt.Replace(name))
	text = strings.Trim(text, "-")
	for strings.Contains(text, "--") {
		text = strings.ReplaceAll(text, "--", "-")
	}
	return or(strings.TrimRight(text[:min(len(text), lamppost.MaxNameBytes-3)], "-"), "fleet") // three are for a number
}

// orgs makes ids of organisations, each its own.
func (f *Fleet) orgs() map[string]string {
	ids, taken := map[string]string{}, map[string]bool{}
	for i, o := range f.Organisations {
		name := id(o.Name)
		if taken[name] {
			name = fmt.Sprintf("%s%d", name, i+1)
		}
		ids[o.Name], taken[name] = name, true
	}
	return ids
}

// ids are those of members: north, or north-1, north-2, north-3.
func (o *Option) ids(f *Fleet) (all []string) {
	orgs, seats := f.orgs(), map[string]int{}
	for _, org := range o.Members {
		seats[org]++
	}
	at := map[string]int{}
	for _, org := range o.Members {
		name := orgs[org]
		if at[org]++; seats[org] > 1 {
			name = fmt.Sprintf("%s-%d", name, at[org])
		}
		all = append(all, name)
	}
	return all
}

const doors = `
# Where devices and people connect: only from this machine, until there is a certificate. Then:
#   http: 0.0.0.0:8443
#   mqtt: 0.0.0.0:8883
#   tls_cert: /etc/lamppost/cert.pem
#   tls_key: /etc/lamppost/key.pem
http: 127.0.0.1:8080
mqtt: 127.0.0.1:1883
`

func (o *Option) waits() string {
	return fmt.Sprintf("\n# How long a report waits for others, and how many share a segment.\nlinger: %sms\nsegment: %d\n", plain(o.Point.LingerMS), o.Point.Segment)
}

// unsigned says whether some class cannot sign.
func (o *Option) unsigned() bool {
	return slices.ContainsFunc(o.Classes, func(c ClassAdvice) bool { return c.Suite == none })
}

func (o *Option) soloConfig(f *Fleet) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s: %s.\n# lamppost serve --config node.yaml --check says that it is good; without --check it starts.\n\n", f.Name, o.Name)
	fmt.Fprintf(&b, "# Made if it is not there. Keep it private, and back it up as a whole.\ndata: ./node\n\n# Written into the chain by the first start.\nnetwork: %s\nmember: %s\nverify: %s\n", id(f.Name), o.ids(f)[0], o.Point.Verify)
	if o.unsigned() {
		b.WriteString("admit_unsigned: true # some devices cannot sign: nobody can check who sent their readings\n")
	}
	b.WriteString(doors + o.waits())
	if len(o.Witnesses) > 0 {
		fmt.Fprintf(&b, "\n# Witnesses: %s. Each prints its vkey when it is made (lamppost witness); until they stand here nobody keeps the operator from showing two\n# histories.\n# witnesses:\n#   - vkey: …\n#     url: https://witness.%s.example\nwitness_every: 5s\n", strings.Join(o.Witnesses, ", "), id(o.Witnesses[0]))
	}
	return b.String()
}

func (o *Option) soloNext(f *Fleet) []string {
	next := []string{"lamppost serve --config node.yaml --check", "lamppost serve --config node.yaml"}
	next = append(next, o.after(f)...)
	for _, w := range o.Witnesses {
		name := "witness." + id(w) + ".example"
		next = append(next, fmt.Sprintf("lamppost witness --data ./witness --name %s      # at %s: prints its vkey", name, w),
			fmt.Sprintf("lamppost witness add network.pin --data ./witness      # at %s; network.pin is in ./node", w))
	}
	if len(o.Witnesses) > 0 {
		next = append(next, "# then put the vkeys into node.yaml under witnesses, start again, and hand out the new network.pin")
	}
	return next
}

// membersConfig is one for all members: what is a member's own stands in its folder.
func (o *Option) membersConfig(f *Fleet) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s: %s. The same file serves every member: whose it is stands in its folder.\n# Found the network first: without network.yaml in the folder a node would begin a network of its own.\n\n", f.Name, o.Name)
	fmt.Fprintf(&b, "# Keep it private, and back it up as a whole.\ndata: ./node\nnetwork: %s\n", id(f.Name))
	b.WriteString(doors + o.waits())
	if len(o.Witnesses) > 0 {
		fmt.Fprintf(&b, "\n# Witnesses: %s. Each prints its vkey when it is made (lamppost witness).\n# witnesses:\n#   - vkey: …\n#     url: https://witness.%s.example\nwitness_every: 5s\n", strings.Join(o.Witnesses, ", "), id(o.Witnesses[0]))
	}
	return b.String()
}

func (o *Option) membersNext(f *Fleet) (next []string) {
	network, orgs := id(f.Name), f.orgs()
	var cards, groups []string
	for i, name := range o.ids(f) {
		next = append(next, fmt.Sprintf("lamppost init member %s --org %s --address %s.example:7650 --url https://%s.example:8443 --data ./node > %s.yaml      # at %s, with its own addresses", name, orgs[o.Members[i]], name, name, name, o.Members[i]))
		cards = append(cards, name+".yaml")
		if org := orgs[o.Members[i]]; !slices.Contains(groups, org) {
			groups = append(groups, org)
		}
	}
	found := fmt.Sprintf("lamppost init network %s --engine %s --members %s --verify %s --data ./node", network, o.Kind, strings.Join(cards, ","), o.Point.Verify)
	if o.Kind == "raft" && len(groups) > 1 {
		found += " --trust " + strings.Join(groups, ",")
	}
	if o.unsigned() {
		found += " --admit-unsigned"
	}
	next = append(next, found+"      # at one of them", "cp network.yaml ./node/      # at the others", "lamppost serve --config node.yaml      # at each")
	return append(next, o.after(f)...)
}

// after is what is ordered once the network runs.
func (o *Option) after(f *Fleet) []string {
	return []string{fmt.Sprintf("lamppost retention set --raw %s --data ./node      # needs.retention_years", keep(f.Needs.RetentionYears))}
}

func keep(years float64) string {
	if whole := float64(int(years)); whole == years {
		return fmt.Sprintf("%dy", int(years))
	}
	return fmt.Sprintf("%dd", max(1, int(years*365.25+0.5)))
}

// What lamppost explore runs at most, on one machine.
const (
	mostDevices = 10_000
	mostRate    = 1_000_000
)

// measureNext says how to measure what nobody measured.
func (a *Answer) measureNext() []string {
	i := slices.IndexFunc(a.Options, func(o Option) bool { return o.Unmeasured && o.asked != nil })
	if i < 0 {
		return nil
	}
	p := a.Options[i].asked
	if p.Devices > mostDevices || p.Rate > mostRate {
		return []string{fmt.Sprintf("# %s devices with a connection each, and %s reports/s, are more than lamppost explore puts on one machine (%s, %s): gateways on site, or a ledger for each part of the fleet, bring it nearer",
			plain(float64(p.Devices)), plain(float64(p.Rate)), plain(mostDevices), plain(mostRate))}
	}
	return []string{
		fmt.Sprintf("echo '%s' > space.yaml", space(p)),
		"lamppost explore --space space.yaml --plan",
		"lamppost explore --space space.yaml --out ./sweep      # on a machine on which nothing else runs",
		"lamppost advise --fleet FILE --rows ./sweep",
	}
}

// space is what predictions for a point rest on: loads up to its own, and how much members bear at most.
func space(p *explore.Point) string {
	readings, suites, rtt := p.Readings, p.Suites, digits(p.RTTMS)
	if readings == 1 {
		readings = 10
	}
	if suites == sig.EdDSA.String() {
		suites = sig.ES256.String()
	}
	if p.RTTMS == 0 {
		rtt = "20"
	}
	const engines = "engine: [solo, raft, comet]"
	return fmt.Sprintf(`grids: [{%s, devices: [100, %d], rate: [%s], readings: [1, %d], linger_ms: [5, 25, 200], rtt_ms: [0, %s]}, {%s, devices: %d, segment: [256, 1024], readings: [1, %d], suites: [ed25519, "%s"], rtt_ms: [0, %s]}]`,
		engines, p.Devices, rates(p.Rate), readings, rtt, engines, min(p.Devices, 100), readings, suites, rtt)
}

// rates are some up to the one that is asked for, so that predictions have something to go by.
func rates(asked int) string {
	all := []string{fmt.Sprint(max(1, asked/10)), fmt.Sprint(max(1, asked/3)), fmt.Sprint(asked)}
	return strings.Join(slices.Compact(all), ", ")
}

// silent is of what nothing is said, whatever the fleet is.
func silent(f *Fleet) []string {
	said := []string{
		"members of the measurements shared two cores: on machines of their own they bear more than is predicted, and answer sooner",
		"readings were not judged while it was measured (triage: off): judging, which is on by default, costs CPU that is not in the figures",
		"devices were connected before the clock started: what it takes to connect, by TLS above all, is not in it",
		"lost packets, and members that stop or lie, were measured at other settings (docs/consensus.md) and are not in these figures",
	}
	for _, c := range f.Classes {
		if slices.Contains(c.Signs, none) || len(c.Signs) == 0 {
			return append(said, "reports without signatures were not measured: they are counted as those with the cheapest one")
		}
	}
	return said
}
