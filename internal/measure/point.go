package measure

import (
	"context"
	"time"

	"github.com/lamppost/lamppost/internal/explore"
)

// Point measures a point of a space, for [explore.Sweep]. Program is what members are; empty: this program.
func Point(program string) func(context.Context, *explore.Space, explore.Point) (explore.Figures, error) {
	return func(ctx context.Context, space *explore.Space, p explore.Point) (f explore.Figures, err error) {
		mix, err := p.Mix()
		if err != nil {
			return f, err
		}
		o := IngestOptions{Engine: p.Engine, Members: p.Nodes, Transport: "mqtt", Readings: p.Readings, For: time.Duration(space.Seconds * float64(time.Second)),
			Rate: p.Rate, Devices: p.Devices, Window: 64, Most: space.Most, Suite: mix[0], Mix: mix, Costs: true, Program: program, Verify: p.Verify,
			Linger: milliseconds(p.LingerMS), Segment: p.Segment, RTT: milliseconds(p.RTTMS), Loss: p.Loss,
			Progress: func(int64, int64, string) {}}
		if p.Fault != "none" {
			o.Fault = p.Fault
		}
		res, err := Ingest(ctx, o)
		if err != nil || res.Reports == 0 {
			return f, err
		}
		return figures(res), nil
	}
}

func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// figures divides what was measured by the readings.
func figures(res *IngestResult) explore.Figures {
	n := float64(res.Reports) * float64(res.ReadingsPerReport)
	c := res.Costs
	return explore.Figures{Seconds: res.Seconds, Committed: int64(n), PerS: res.ReadingsPerS, P50: res.CommitP50MS, P99: res.CommitP99MS, Max: res.CommitMaxMS,
		CPU: res.CPUSeconds * 1e6 / n, NodeCPU: c.NodeCPUSeconds * 1e6 / n, GatewayCPU: c.GatewayCPUSeconds * 1e6 / n,
		DeviceBytes: float64(c.DeviceBytes) / n, WireBytes: float64(c.WireBytes) / n, Messages: float64(c.Messages) / n, DiskBytes: res.DiskBytesPerReading,
		WrittenBytes: float64(c.WrittenBytes) / n, Syncs: float64(c.Syncs+c.SyncsComputed) / n, SyncsComp: float64(c.SyncsComputed) / n, PeakMB: c.PeakMB,
		Blocks: res.Blocks, Lost: res.Errors, Exhausted: res.Exhausted, RAPLUJ: c.RAPLJoules * 1e6 / n}
}
