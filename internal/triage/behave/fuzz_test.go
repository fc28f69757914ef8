package behave

import (
	"bytes"
	"testing"
)

// FuzzLoad: no bytes stop the process, and what is taken is written again as it was.
func FuzzLoad(f *testing.F) {
	w := newWorld(&testing.T{}, 1)
	w.run(2, 40, nil)
	f.Add(w.AppendDevice(nil, "m1"))
	f.Add(w.AppendCommon(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		fleet := NewFleet()
		if fleet.LoadDevice("m1", b) == nil && !bytes.Equal(fleet.AppendDevice(nil, "m1"), b) {
			t.Error("a device is written in another way")
		}
		if fleet.LoadCommon(b) == nil {
			m := w.usual()
			if _, err := fleet.Observe("m1", "", &m, nil); err != nil {
				t.Error(err)
			}
		}
		_, _ = Replay(b, "m1")
	})
}
