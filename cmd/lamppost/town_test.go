package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger"
)

// A town is people who make transfers among themselves and ask for balances, at any member, and note what they were told.
type town struct {
	w      *crew
	client *http.Client

	mu    sync.Mutex
	deeds []deed
	begun time.Time
}

// openTown registers the people.
func openTown(w *crew) *town {
	first := w.members[0]
	s := &town{w: w, begun: time.Now(), client: &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{TLSClientConfig: first.tls}}}
	for _, c := range w.members {
		c.people, c.pace = s.client, 5*time.Millisecond
	}
	for i := range people {
		w.until("people are registered", func() bool {
			ok, code := first.ask("POST", "/api/parties", map[string]string{"id": person(i), "name": "P", "credit_limit": "20.00"}, nil)
			return ok || strings.HasPrefix(code, "exists")
		})
	}
	w.until("owners are registered", func() bool {
		ok, code := first.ask("POST", "/api/parties", map[string]string{"id": "ann", "name": "Ann"}, nil)
		return ok || strings.HasPrefix(code, "exists")
	})
	return s
}

func person(i int) string { return fmt.Sprint("p", i) }

// walk is one who asks one member as long as it answers, and then the next.
func (s *town) walk(ctx context.Context, who int, rnd *rand.Rand) {
	at := rnd.IntN(len(s.w.members))
	for n := 0; ctx.Err() == nil; n++ {
		served := false
		if rnd.IntN(3) == 0 {
			served = s.look(who, at)
		} else {
			from := rnd.IntN(people)
			q := question{from: from, to: (from + 1 + rnd.IntN(people-1)) % people, amount: lamppost.Micro(1+rnd.IntN(500)) * 10_000,
				memo: fmt.Sprintf("%d of %d", n, who), member: at}
			served = s.transfer(who, q)
		}
		if !served || rnd.IntN(20) == 0 {
			at = (at + 1) % len(s.w.members)
		}
		time.Sleep(time.Duration(1+rnd.IntN(30)) * time.Millisecond) // people are not in step
	}
}

// ask asks a member; status 0 is no answer.
func (s *town) ask(member int, method, path string, body any, answer any) (status int, asked, told int64) {
	c := s.w.members[member]
	raw, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	req, err := http.NewRequest(method, c.url()+path, bytes.NewReader(raw))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	asked = int64(time.Since(s.begun))
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, asked, int64(time.Since(s.begun))
	}
	defer resp.Body.Close()
	raw, err = io.ReadAll(resp.Body)
	told = int64(time.Since(s.begun))
	if err != nil || json.Unmarshal(raw, answer) != nil {
		return 0, asked, told
	}
	return resp.StatusCode, asked, told
}

func (s *town) note(d deed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deeds = append(s.deeds, d)
}

// transfer reports whether the member served.
func (s *town) transfer(who int, q question) bool {
	body := lamppost.TransferBody{From: lamppost.PartyID(person(q.from)), To: lamppost.PartyID(person(q.to)), Currency: "EUR", Amount: q.amount, Memo: q.memo}
	var said struct {
		Code, Text string
		Height     lamppost.Height
		Index      uint32
	}
	d := deed{who: who, question: q}
	var status int
	status, d.asked, d.told = s.ask(q.member, "POST", "/api/transfers", body, &said)
	switch {
	case status == http.StatusCreated:
		d.at = ledger.Place{Height: said.Height, Index: said.Index}
	case said.Code == "no_funds":
		d.verdict = noFunds
	case status == 0 || said.Code == "unknown_outcome":
		d.verdict = unknown
	case said.Code == "busy":
		d.verdict = undone
	default:
		s.w.t.Errorf("a transfer was answered with status %d, %q: %s", status, said.Code, said.Text)
		d.verdict = unknown
	}
	s.note(d)
	return d.verdict == done || d.verdict == noFunds
}

// look asks for all balances, and reports whether the member answered.
func (s *town) look(who, member int) bool {
	var said struct {
		Height   lamppost.Height
		Accounts []ledger.Account
	}
	d := deed{who: who, question: question{member: member}}
	var status int
	status, d.asked, d.told = s.ask(member, "GET", "/api/accounts", nil, &said)
	if status != http.StatusOK {
		return false
	}
	d.at = ledger.Place{Height: said.Height, Index: lastIndex}
	for _, a := range said.Accounts {
		for i := range people {
			if string(a.Party) == person(i) {
				d.funds[i] = a.Balance
			}
		}
	}
	s.note(d)
	return true
}

// confirmed are the memos of what was.
func (s *town) confirmed() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]bool{}
	for _, d := range s.deeds {
		if d.amount > 0 && d.verdict == done {
			all[d.memo] = true
		}
	}
	return all
}

// String counts what was told.
func (s *town) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var counts [unknown + 1]int
	looks := 0
	for _, d := range s.deeds {
		if d.amount == 0 {
			looks++
		} else {
			counts[d.verdict]++
		}
	}
	return fmt.Sprintf("%d transfers confirmed, %d refused for lack of funds, %d turned away, %d unanswered, balances %d times", counts[done], counts[noFunds], counts[undone], counts[unknown], looks)
}
