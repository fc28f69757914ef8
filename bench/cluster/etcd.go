package cluster

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

// Etcd is a cluster of three, each a process. Clients put values at the leader, each under a key of its own. It refuses more than 5,000
// on their way.
func Etcd() Peer {
	return Peer{Name: "etcd", Run: runEtcd, Settings: []Setting{
		{Name: "256 puts on their way over 8 connections to the leader", Window: 256, Conns: 8},
		{Name: "1,024 puts on their way over 8 connections to the leader", Window: 1024, Conns: 8},
		{Name: "1,024 puts on their way over 32 connections to the leader", Window: 1024, Conns: 32},
		{Name: "4,096 puts on their way over 16 connections to the leader", Window: 4096, Conns: 16},
	}}
}

// EtcdCommand is the command under which this program is a member.
const EtcdCommand = "etcd-member"

type etcdMember struct {
	Name, Dir, Client, Peer, Cluster string
}

// EtcdMember runs a member until the input ends.
func EtcdMember(config string) error {
	var m etcdMember
	if err := json.Unmarshal([]byte(config), &m); err != nil {
		return err
	}
	client, err := url.Parse(m.Client)
	if err != nil {
		return err
	}
	peer, err := url.Parse(m.Peer)
	if err != nil {
		return err
	}
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir, cfg.InitialCluster = m.Name, m.Dir, m.Cluster
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	cfg.LogLevel = "fatal" // when it ends, etcd calls it an error that its listeners do
	cfg.QuotaBackendBytes = 8 << 30
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	defer e.Close()
	<-e.Server.ReadyNotify()
	say("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func runEtcd(ctx context.Context, dir string, s Setting, valueBytes int, d time.Duration) (float64, error) {
	var members []etcdMember
	var all, clients []string
	for i := range 3 {
		client, err := freeAddress()
		if err != nil {
			return 0, err
		}
		peer, err := freeAddress()
		if err != nil {
			return 0, err
		}
		m := etcdMember{Name: fmt.Sprint("m", i), Dir: filepath.Join(dir, fmt.Sprint("m", i)), Client: "http://" + client, Peer: "http://" + peer}
		members, all, clients = append(members, m), append(all, m.Name+"="+m.Peer), append(clients, m.Client)
	}
	var children []*child
	defer func() {
		for _, c := range children {
			c.end()
		}
	}()
	for _, m := range members {
		m.Cluster = strings.Join(all, ",")
		c, err := startChild(ctx, EtcdCommand, m)
		if err != nil {
			return 0, err
		}
		children = append(children, c)
	}
	for _, c := range children {
		var ready string
		if err := c.hear(&ready); err != nil {
			return 0, err
		}
	}
	leader, err := etcdLeader(ctx, clients)
	if err != nil {
		return 0, err
	}
	return putAll(ctx, leader, s, valueBytes, d)
}

// etcdLeader finds where the leader takes clients.
func etcdLeader(ctx context.Context, clients []string) (string, error) {
	c, err := clientv3.New(clientv3.Config{Endpoints: clients, DialTimeout: 10 * time.Second})
	if err != nil {
		return "", err
	}
	defer c.Close()
	for _, at := range clients {
		is, err := c.Status(ctx, at)
		if err != nil {
			return "", err
		}
		if is.Header.MemberId == is.Leader {
			return at, nil
		}
	}
	return "", errors.New("no member leads")
}

// putAll keeps as many puts on their way as the setting says, and counts those that were answered in time.
func putAll(ctx context.Context, leader string, s Setting, valueBytes int, d time.Duration) (float64, error) {
	value := make([]byte, valueBytes)
	rand.Read(value) // never fails
	var done, number atomic.Int64
	var failure error
	var mu sync.Mutex
	var wg sync.WaitGroup
	var conns []*clientv3.Client
	for range s.Conns {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{leader}, DialTimeout: 10 * time.Second})
		if err != nil {
			return 0, err
		}
		defer c.Close()
		if _, err := c.Put(ctx, "first", "put"); err != nil { // connects
			return 0, err
		}
		conns = append(conns, c)
	}
	start := time.Now()
	for i := range s.Window {
		c := conns[i%len(conns)]
		wg.Go(func() {
			own := append([]byte(nil), value...)
			for time.Since(start) < d {
				n := number.Add(1)
				binary.BigEndian.PutUint64(own, uint64(n))
				if _, err := c.Put(ctx, fmt.Sprintf("%012d", n), string(own)); err != nil {
					mu.Lock()
					failure = err
					mu.Unlock()
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(done.Load()) / time.Since(start).Seconds(), failure
}
