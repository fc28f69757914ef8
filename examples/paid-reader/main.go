// Command paid-reader reads a metered route of a node and pays as it reads, by vouchers: HTTP 402 in the shape of x402. LAMPPOST_PAID_URL is
// what it reads, LAMPPOST_WALLET the folder that `lamppost voucher open` made, LAMPPOST_CHANNEL the channel.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/voucher"
)

func main() {
	folder, err := voucher.OpenFolder(os.Getenv("LAMPPOST_WALLET"))
	if err != nil {
		log.Fatal(err)
	}
	wallet, err := folder.Wallet(os.Getenv("LAMPPOST_CHANNEL"))
	if err != nil {
		log.Fatal(err)
	}
	r := reader{wallet: wallet, most: 100_000} // 0.10 for a request, and no more
	for range 3 {
		body, err := r.read(context.Background(), os.Getenv("LAMPPOST_PAID_URL"))
		if err != nil {
			log.Fatal(err)
		}
		log.Printf("%d bytes; %s were promised on channel %s so far", len(body), wallet.Paid(), wallet.Terms().Channel.ID)
	}
}

// A reader pays for what it reads.
type reader struct {
	wallet *voucher.Wallet
	most   lamppost.Micro // that it pays for a request
}

// read asks, learns the price, promises it and asks again. A wallet that knows of less than the node has adopts that first.
func (r *reader) read(ctx context.Context, url string) ([]byte, error) {
	paying := []byte(nil)
	for try := 0; ; try++ {
		status, body, err := r.ask(ctx, url, paying)
		switch {
		case err != nil:
			return nil, err
		case status == http.StatusOK:
			return body, nil
		case status != http.StatusPaymentRequired || try == 3:
			return nil, fmt.Errorf("the node answers %d: %.300s", status, body)
		}
		var asked voucher.Required
		if err := json.Unmarshal(body, &asked); err != nil {
			return nil, err
		}
		if paying, err = r.pay(&asked); err != nil {
			return nil, fmt.Errorf("%s: %w", asked.Error, err)
		}
	}
}

func (r *reader) ask(ctx context.Context, url string, paying []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	if paying != nil {
		req.Header.Set(voucher.PaymentHeader, voucher.Header(voucher.NewPayment(r.wallet.Terms().Network, paying)))
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	return res.StatusCode, body, err
}

// pay promises what the first way to pay asks for that this wallet's channel is good for.
func (r *reader) pay(asked *voucher.Required) ([]byte, error) {
	terms := r.wallet.Terms()
	for _, a := range asked.Accepts {
		if a.Scheme != voucher.Scheme || a.Network != voucher.NetworkName(terms.Network) || a.PayTo != string(terms.Channel.Payee) || a.Extra.Tariff != terms.Channel.Tariff {
			continue
		}
		if a.Extra.Last != nil {
			if err := r.wallet.Adopt(a.Extra.Last); err != nil {
				return nil, err
			}
		}
		more, err := strconv.ParseInt(a.MaxAmountRequired, 10, 64)
		if err == nil && a.Extra.Promise != "" {
			more, err = strconv.ParseInt(a.Extra.Promise, 10, 64)
			more -= int64(r.wallet.Paid())
		}
		switch {
		case err != nil:
			return nil, err
		case lamppost.Micro(more) > r.most:
			return nil, fmt.Errorf("it costs %s, and at most %s are paid", lamppost.Micro(more), r.most)
		case more <= 0:
			return r.wallet.Last(), nil // there is credit
		}
		return r.wallet.Pay(lamppost.TimeMS(time.Now().UnixMilli()), lamppost.Micro(more))
	}
	return nil, fmt.Errorf("channel %q pays %q on tariff %q, which is not asked for: %+v", terms.Channel.ID, terms.Channel.Payee, terms.Channel.Tariff, asked.Accepts)
}
