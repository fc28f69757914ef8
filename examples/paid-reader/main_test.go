package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/voucher"
)

const readings = "/api/export/readings.parquet"

// A seller is a real node that sells its readings, paid to the seller itself.
type seller struct {
	t     *testing.T
	node  *node.Node
	token string
}

func newSeller(t *testing.T) *seller {
	t.Helper()
	dir := t.TempDir()
	n, err := node.Open(node.Config{Data: dir, Network: "street", HTTP: "127.0.0.1:0", MQTT: "off", NoFsync: true, Publish: 10 * time.Millisecond,
		Pay: node.Pay{Payee: "acme", Tariff: "data", Prices: map[string]string{"GET /api/export/readings.parquet": "0.03"}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	token, err := os.ReadFile(filepath.Join(dir, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	s := &seller{t, n, strings.TrimSpace(string(token))}
	s.post("/api/parties", lamppost.PartyBody{ID: "acme", Name: "Acme"}, nil)
	s.post("/api/parties", lamppost.PartyBody{ID: "bob", Name: "Bob", CreditLimit: 100 * lamppost.MicroUnit}, nil)
	s.post("/api/tariffs", ledgertest.Tariff("data", 1, "acme", ledgertest.Start-365*ledgertest.Day, 0), nil)
	for !s.published() {
		time.Sleep(time.Millisecond) // the node's own clock publishes
	}
	return s
}

func (s *seller) published() bool {
	_, _, _, err := s.node.Checkpoint()
	return err == nil
}

func (s *seller) post(path string, body, out any) {
	s.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, s.node.URL()+path, bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	var said bytes.Buffer
	if _, err := said.ReadFrom(res.Body); err != nil || res.StatusCode != http.StatusCreated {
		s.t.Fatalf("%s: %d %s (%v)", path, res.StatusCode, &said, err)
	}
	if out != nil {
		if err := json.Unmarshal(said.Bytes(), out); err != nil {
			s.t.Fatal(err)
		}
	}
}

// channel opens one of so much, and its wallet.
func (s *seller) channel(id string, most lamppost.Micro) (*voucher.Wallet, voucher.Terms) {
	s.t.Helper()
	folder, err := voucher.OpenFolder(s.t.TempDir())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { folder.Close() })
	key, err := folder.Key()
	if err != nil {
		s.t.Fatal(err)
	}
	now := lamppost.TimeMS(time.Now().UnixMilli())
	terms := voucher.Terms{Network: "street", Channel: lamppost.ChannelBody{ID: id, Payer: "bob", Payee: "acme", Tariff: "data", Version: 1, Most: most,
		From: now - 1000, Until: now + 3_600_000, Key: key.Public().Bytes()}}
	s.post("/api/channels", terms.Channel, nil)
	w, err := folder.NewWallet(terms)
	if err != nil {
		s.t.Fatal(err)
	}
	return w, terms
}

// A client that has never been here learns the price, pays it for each thing it reads and no more than it means to; the seller
// cashes all of it in one transaction.
func TestPaysAsItReads(t *testing.T) {
	t.Parallel()
	s := newSeller(t)
	wallet, _ := s.channel("c1", lamppost.MicroUnit)
	r := reader{wallet: wallet, most: 100_000}
	for i := range 20 {
		body, err := r.read(t.Context(), s.node.URL()+readings)
		if err != nil || !bytes.HasPrefix(body, []byte("PAR1")) {
			t.Fatalf("read %d: %.200s (%v)", i, body, err)
		}
		if want := lamppost.Micro(i+1) * 30_000; wallet.Paid() != want {
			t.Fatalf("after %d reads %s are promised, want %s", i+1, wallet.Paid(), want)
		}
	}
	if _, err := (&reader{wallet: wallet, most: 29_999}).read(t.Context(), s.node.URL()+readings); err == nil || !strings.Contains(err.Error(), "at most 0.029999 are paid") {
		t.Errorf("a price over what is paid: %v", err)
	}
	var done api.Done
	s.post("/api/channels/cash", api.Cash{Kept: true}, &done)
	if got := fmt.Sprintf("%+v", done.Cashed); got != "[{Channel:c1 N:20 Amount:0.60 More:0.60 Closed:false Freed:0.00}]" {
		t.Errorf("cashed %s", got)
	}
}

// A client whose wallet is an older copy goes on where the node is, and pays for nothing twice; one whose channel is used up is told so.
func TestGoesOn(t *testing.T) {
	t.Parallel()
	s := newSeller(t)
	wallet, terms := s.channel("c1", 50_000*2)
	r := reader{wallet: wallet, most: 100_000}
	if _, err := r.read(t.Context(), s.node.URL()+readings); err != nil {
		t.Fatal(err)
	}
	old, err := wallet.Pay(1, 1) // promised, and never sent
	if err != nil || old == nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.read(t.Context(), s.node.URL()+readings); err != nil {
			t.Fatal(err)
		}
	}
	if wallet.Paid() != 90_001 {
		t.Errorf("three reads cost %s", wallet.Paid())
	}
	if _, err := r.read(t.Context(), s.node.URL()+readings); err == nil || !strings.Contains(err.Error(), "are left") {
		t.Errorf("channel %+v is used up: %v", terms.Channel.ID, err)
	}
}
