package node_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/triage/behave"
)

// A yard is devices behind a gateway that a test plays, on a clock that the test moves.
type yard struct {
	*fleet
	gateway *liar
	segment []lamppost.SegmentItem
	held    []lamppost.SegmentItem // while the gateway has no uplink
}

func behindGateway(t *testing.T, devices int) *yard {
	y := &yard{fleet: simulated(t, devices)}
	var gw api.GatewayToken
	y.order("/api/gateways", api.NewGateway{ID: "gw"}, &gw)
	y.gateway = &liar{lamp: y.lamp, token: gw.Token, key: newKey(t, "gw")}
	body, err := json.Marshal(map[string][]byte{"key": y.gateway.key.Public().Bytes()})
	must(t, err)
	if status, answer := y.gateway.asGateway("/v1/gateway", body); status != http.StatusOK {
		t.Fatalf("registering the gateway: %d %s", status, answer)
	}
	return y
}

// take is a report that the gateway receives now.
func (y *yard) take(raw []byte) {
	y.segment = append(y.segment, lamppost.SegmentItem{Received: lamppost.TimeMS(y.clock.Load()) + lamppost.TimeMS(len(y.segment)), Report: raw})
}

// forward hands on what was received, in segments of at most 400 reports, and lets the minute pass.
func (y *yard) forward(again bool) {
	y.t.Helper()
	for all := append(y.held, y.segment...); len(all) > 0; {
		part := all[:min(len(all), 400)]
		all = all[len(part):]
		y.gateway.n++
		readings := 0
		for i := range part {
			var r lamppost.Report
			must(y.t, r.Decode(part[i].Report))
			readings += len(r.Readings)
		}
		tx, err := lamppost.NewSegment("house", lamppost.Seq{N: y.gateway.n}, readings, part, "gw", y.gateway.key, lamppost.Seed{})
		must(y.t, err)
		for range 2 {
			if status, answer := y.gateway.asGateway("/v1/segments", tx.Append(nil)); status != http.StatusOK {
				y.t.Fatalf("a segment: %d %s", status, answer)
			}
			if !again {
				break
			}
		}
	}
	y.held, y.segment = nil, nil
	y.pass()
}

func (y *yard) pass() {
	y.t.Helper()
	y.clock.Add(60_000)
	must(y.t, y.Behaved(y.t.Context()))
}

// TestBehindGateway: of devices behind a gateway, one that is taken over, sends twenty times as much and runs an image that its list does not have is
// quarantined, and alarms by what it does; nothing is said of its kin. An outage of the uplink and all that comes at once after it, segments that are sent twice, and devices
// that were away and send what they kept raise nothing.
func TestBehindGateway(t *testing.T) {
	t.Parallel()
	y := behindGateway(t, 10)
	for _, d := range y.all {
		_, err := y.Order(t.Context(), lamppost.TxWatch, lamppost.WatchBody{Device: d.id, Firmware: []lamppost.Hash{goodImage}})
		must(t, err)
	}
	const hijack = 130
	for minute := range hijack + 6 {
		for i, d := range y.all {
			switch {
			case i == 0 && minute >= hijack:
				for k := range 20 {
					y.take(y.reading(d, k, func(r *lamppost.Report) {
						r.Readings[2] = lamppost.FirmwareReading(otherImage, r.Readings[0].Time)
						for i := range 20 {
							r.Readings = append(r.Readings, lamppost.Reading{Name: fmt.Sprintf("probe%d", i), Time: r.Readings[0].Time, Value: lamppost.Dec(int64(i), 0)})
						}
					}))
				}
			case i >= 2 && i <= 4 && minute >= 50 && minute < 70: // away
				d.backlog = append(d.backlog, y.reading(d, 0, nil))
			default:
				for _, raw := range d.backlog {
					y.take(raw)
				}
				d.backlog = nil
				y.take(y.reading(d, 0, nil))
			}
		}
		if minute >= 80 && minute < 110 { // no uplink
			y.held, y.segment = append(y.held, y.segment...), nil
			y.pass()
			continue
		}
		y.forward(minute%25 == 24)
		if found := y.verdicts(); minute < hijack && len(found) > 0 {
			t.Fatalf("minute %d: %+v", minute, found[0].Body)
		}
	}
	found := y.verdicts()
	codes := map[string]bool{}
	quarantined := false
	for _, v := range found {
		if v.Body.Device != "m0" {
			t.Errorf("of another device: %+v", v.Body)
		}
		for _, r := range v.Body.Reasons {
			codes[r.Code] = true
		}
		quarantined = quarantined || v.Body.Suspends
	}
	if !quarantined || !codes[behave.UnknownFirmware] {
		t.Errorf("found %+v", found)
	}
	// In quarantine its reports are refused, so that it has no minutes to alarm by.
	if status, answer := y.last(y.all[0]); status != http.StatusOK || answer != "quarantined" {
		t.Errorf("in quarantine: %d %s", status, answer)
	}
}

// last delivers one more report of a device, and returns what became of it.
func (y *yard) last(d *fleetDevice) (status int, code string) {
	y.t.Helper()
	y.gateway.n++
	item := lamppost.SegmentItem{Received: lamppost.TimeMS(y.clock.Load()), Report: y.reading(d, 0, nil)}
	tx, err := lamppost.NewSegment("house", lamppost.Seq{N: y.gateway.n}, 3, []lamppost.SegmentItem{item}, "gw", y.gateway.key, lamppost.Seed{})
	must(y.t, err)
	status, answer := y.gateway.asGateway("/v1/segments", tx.Append(nil))
	var got struct{ Outcomes []struct{ Code string } }
	must(y.t, json.Unmarshal([]byte(answer), &got))
	return status, got.Outcomes[0].Code
}

// TestFloodBehindGateway: without a list of images, twenty times as many reports alarm by their pace, with reasons, within five minutes by the
// gateway's clock, also where all of it comes after an outage of the uplink; and nothing else does.
func TestFloodBehindGateway(t *testing.T) {
	t.Parallel()
	for _, outage := range []bool{false, true} {
		t.Run(fmt.Sprint("outage ", outage), func(t *testing.T) {
			t.Parallel()
			y := behindGateway(t, 6)
			const hijack = 110
			for minute := range hijack + 8 {
				for i, d := range y.all {
					n := 1
					if i == 3 && minute >= hijack {
						n = 20
					}
					for k := range n {
						y.take(y.reading(d, k, func(r *lamppost.Report) {
							if n > 1 {
								r.Readings = r.Readings[:1]
							}
						}))
					}
				}
				if outage && minute >= hijack-5 && minute < hijack+7 {
					y.held, y.segment = append(y.held, y.segment...), nil
					y.pass()
					continue
				}
				y.forward(false)
			}
			y.pass()
			found := y.verdicts()
			if len(found) != 1 || found[0].Body.Device != "m3" || found[0].Body.Suspends {
				t.Fatalf("found %+v", found)
			}
			v := found[0].Body
			if after := (int64(v.At) - begin.UnixMilli()) / 60_000; after < hijack || after > hijack+5 {
				t.Errorf("found after %d minutes: %+v", after, v)
			}
			t.Logf("%d of %d: %+v", v.Score, v.Level, v.Reasons)
		})
	}
}
