// Command device-http is a whole device: it enrols once and reports its register over HTTP each minute. LAMPPOST_URL is
// the node's address, LAMPPOST_DEVICE and LAMPPOST_TOKEN are what the operator handed out.
package main

import (
	"context"
	"log"
	"os"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/sig"
)

func main() {
	ctx, dir, url, id, token := context.Background(), "device-data", os.Getenv("LAMPPOST_URL"), lamppost.DeviceID(os.Getenv("LAMPPOST_DEVICE")), os.Getenv("LAMPPOST_TOKEN")
	key := must(device.LoadOrCreateKey(dir, sig.EdDSA))
	in := must(device.Enrol(ctx, device.Enrolment{URL: url, Device: id, Token: token, Key: key, Dir: dir}))
	d := must(device.Open(device.Config{Network: in.Network, ID: id, Key: key, KeyEpoch: in.KeyEpoch, Dir: dir, Sender: device.NewHTTP(url, id, token, nil)}))
	go func() { log.Fatal(d.Run(ctx)) }()
	daily := must(d.Billing("energy", "Wh", nil))
	for ; ; time.Sleep(time.Minute) {
		now := time.Now()
		wh := lamppost.Dec(now.Unix()/12, 0) // a real meter is read here
		seq, err := d.Report(lamppost.Reading{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Value: wh})
		log.Print("report ", seq.N, ", waiting ", d.Stats().Queued, ", errors ", err, daily.Observe(lamppost.TimeMS(now.UnixMilli()), wh))
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
