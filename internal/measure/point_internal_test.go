package measure

import (
	"reflect"
	"testing"

	"github.com/lamppost/lamppost/internal/explore"
)

// What a point took is divided by its readings, not by its reports.
func TestFiguresAreOfReadings(t *testing.T) {
	t.Parallel()
	res := IngestResult{Reports: 1000, ReadingsPerReport: 10, CPUSeconds: 0.06, Costs: &Costs{NodeCPUSeconds: 0.03, WireBytes: 30_000, Messages: 500, Syncs: 60, SyncsComputed: 40, DeviceBytes: 160_000}}
	want := explore.Figures{Committed: 10_000, CPU: 6, NodeCPU: 3, WireBytes: 3, Messages: 0.05, Syncs: 0.01, SyncsComp: 0.004, DeviceBytes: 16}
	if got := figures(&res); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}
