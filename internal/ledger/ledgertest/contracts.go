package ledgertest

import (
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/contract"
)

// What happens around contracts: every kind of the library, and programs that want more than they may.

// hostile programs take, fail, grow and loop.
var hostile = [...]string{`
def split(event, state):
    state["n"] = state.get("n", 0) + 1
    pay(terms["a"], terms["b"], abs(event["net"]) * terms["times"] + state["n"])
def take(event, state):
    pay(terms["b"], terms["a"], event["args"]["amount"])
    pay(terms["a"], terms["b"], event["args"]["amount"] // 2)
def settle(event, state):
    pay(terms["a"], terms["b"], event["used"])
`, `
def split(event, state):
    for i in range(2000000000):
        state["i"] = i
`, `
def split(event, state):
    state["l"] = state.get("l", []) + [event["number"]]
    for part in event["parts"]:
        pay(part["earns"], terms["b"], max(0, part["net"]) // 2)
    if len(state["l"]) % 3 == 0:
        fail("every third")
`, `
def split(event, state):
    state["l"] = state.get("l", []) + [event["number"]]
    for part in event["parts"]:
        pay(part["earns"], terms["b"], max(0, part["net"]) // 2)
    if len(state["l"]) // 3 * 3 == len(state["l"]):
        fail("every third")
`}

const contracts = 8

// programs of contract i: those of the library, and two hostile ones.
func (m *Money) program(i int) string {
	if names := contract.LibraryNames(); i < len(names) {
		source, _ := contract.Library(names[i])
		return source
	}
	return hostile[m.Draw(len(hostile))]
}

func (m *Money) contract() lamppost.ContractBody {
	i := m.Draw(contracts)
	b := lamppost.ContractBody{ID: fmt.Sprint("k", i), Version: m.deployed[i] + 1, Source: m.program(i), Currency: [...]string{"EUR", "EUR", "EUR", "JPY"}[i%4],
		Devices: []lamppost.DeviceID{"m0", "m1", "m6"}}
	for j, p := range []lamppost.PartyID{"b1", "m0", "m1", "m6", "s0", "s1"} {
		b.Parties = append(b.Parties, lamppost.ContractParty{Party: p, Limit: lamppost.Micro((i+j)%3) * 20_000_000})
	}
	if m.Draw(3) > 0 {
		b.To = m.Now + lamppost.TimeMS(1+m.Draw(48))*Hour
	}
	number := func(name string, n int64) { b.Terms = append(b.Terms, lamppost.Arg{Name: name, Number: n}) }
	text := func(name, s string) { b.Terms = append(b.Terms, lamppost.Arg{Name: name, Text: s}) }
	text("a", [...]string{"m0", "s0", "b1"}[m.Draw(3)])
	number("allowed", 1+int64(m.Draw(500))*1_000_000)
	number("at1", 1+int64(m.Draw(3000))*1_000_000)
	text("b", [...]string{"s1", "m6", "b1"}[m.Draw(3)])
	text("borrower", "s0")
	text("buyer", "b1")
	number("cap", 30_000_000)
	number("charge", int64(1+m.Draw(3000)))
	number("compensation", int64(1+m.Draw(3))*3_333_333)
	text("customer", "b1")
	text("device1", "m6")
	text("device2", "m0")
	text("financier", "s1")
	number("harm", int64(1+m.Draw(1000))*1_000_000)
	text("harm_register", "energy")
	text("holder1", "b1")
	text("holder2", "s1")
	text("lender", "s1")
	text("milestone_register", "energy")
	text("organiser", "s0")
	number("pay1", int64(1+m.Draw(20))*777_777)
	number("penalty", int64(1+m.Draw(90))*1_000)
	number("principal", int64(1+m.Draw(30))*1_234_567)
	text("producer", "s0")
	text("provider", "s0")
	number("rate", int64(1+m.Draw(200))*1_111)
	text("session1", fmt.Sprint("x", 1+m.Draw(20)))
	text("session2", fmt.Sprint("x", 21+m.Draw(20)))
	number("share", int64(1+m.Draw(2000)))
	number("share1", int64(1+m.Draw(6000)))
	number("share2", int64(1+m.Draw(6000)))
	number("times", int64(1+m.Draw(3)))
	return b
}

// call tells a contract of an event that it may or may not know, or repeats what failed.
func (m *Money) call() lamppost.CallBody {
	if n := len(m.Failed); n > 0 && m.Draw(2) == 0 {
		return m.Failed[m.Draw(n)]
	}
	events := [contracts]string{"deliver", "expire", "repay", "breach", "split", "take", "take", "take"}
	i := m.Draw(contracts)
	b := lamppost.CallBody{Contract: fmt.Sprint("k", i), Event: events[i]}
	switch m.Draw(6) {
	case 0:
		b.Event = "expire"
	case 1:
		b.Event = [...]string{"handover", "milestone"}[m.Draw(2)]
	}
	b.Args = []lamppost.Arg{{Name: "amount", Number: 1 + int64(m.Draw(40))*500_000}, {Name: "price", Number: 1 + int64(m.Draw(40))*1_500_000}, {Name: "to", Text: "somebody"}}
	for range m.Draw(3) {
		x := m.meters[[...]int{0, 1, 6}[m.Draw(3)]]
		ref := lamppost.ReadingRef{Device: x.ID, Register: "energy", Time: m.Now / (Hour / 4) * (Hour / 4)}
		if n := len(x.told); n > 0 {
			ref.Time, _ = lamppost.SnapToEdge(x.told[m.Draw(n)].Time)
		}
		b.Readings = append(b.Readings, ref)
	}
	return b
}
