//go:build !small

package comet

import (
	"path/filepath"
	"time"

	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/types"

	"github.com/lamppost/lamppost"
)

// Folders inside the engine's.
const (
	dataDir = "data"
	walDir  = "wal"
)

// power is every validator's. Comet's block sync takes a member for one that the chain waits for if its power reaches a
// third of the whole, rounded down: with powers of 1, any of up to five members, which then never syncs.
const power = 1000

// idleBlock is how often a block is made though nothing was proposed: so comet's files forget what stood in the last one.
const idleBlock = time.Hour

// A double signature is put into a block only while one of these holds; a member that begins with the others' state is given the
// headers of as many blocks, or it could not judge. Where it is noticed at all it is at once.
const (
	evidenceAge    = 10 * time.Minute
	evidenceBlocks = 1000
)

// settings are what differs from comet's defaults; docs/decisions/0010-comet.md says why.
func settings(cfg *Config) *config.Config {
	c := config.DefaultConfig()
	c.SetRoot(cfg.Dir)
	c.Moniker = string(cfg.Member)

	c.Consensus.WalPath = filepath.Join(walDir, "wal")
	c.Consensus.CreateEmptyBlocksInterval = min(idleBlock, cfg.Keep)
	c.Consensus.TimeoutPropose = cfg.ProposeTimeout
	c.Consensus.TimeoutPrevote = cfg.VoteTimeout
	c.Consensus.TimeoutPrecommit = cfg.VoteTimeout
	c.Consensus.TimeoutCommit = 0
	c.Consensus.SkipTimeoutCommit = true
	c.Consensus.BlockTimeTolerance = clockTolerance
	c.Consensus.PeerGossipSleepDuration = 10 * time.Millisecond
	c.Consensus.PeerQueryMaj23SleepDuration = 500 * time.Millisecond

	c.P2P.ListenAddress = "tcp://" + cfg.Listen
	c.P2P.FlushThrottleTimeout = 10 * time.Millisecond
	c.P2P.SendRate, c.P2P.RecvRate = peerBytesPerSecond, peerBytesPerSecond
	c.P2P.AllowDuplicateIP = true
	c.P2P.MaxNumInboundPeers, c.P2P.MaxNumOutboundPeers = maxMembers, maxMembers

	c.Mempool.Broadcast = false // gossip tells the others
	c.Mempool.Size = maxPoolTxs
	c.Mempool.MaxTxsBytes = maxPoolBytes
	c.Mempool.CacheSize = maxSeen
	c.Mempool.MaxTxBytes = maxTxBytes
	return c
}

// genesis is the same on all members.
func genesis(cfg *Config) (*types.GenesisDoc, error) {
	params := types.DefaultConsensusParams()
	params.Block.MaxBytes = maxBlockBytes
	params.Evidence.MaxBytes = maxEvidenceBytes
	params.Evidence.MaxAgeDuration, params.Evidence.MaxAgeNumBlocks = evidenceAge, evidenceBlocks
	doc := &types.GenesisDoc{GenesisTime: time.UnixMilli(int64(cfg.Founded)).UTC(), ChainID: cfg.Network, InitialHeight: 1, ConsensusParams: params}
	for _, m := range cfg.Founders {
		key := ed25519.PubKey(m.Key)
		doc.Validators = append(doc.Validators, types.GenesisValidator{Address: key.Address(), PubKey: key, Power: power, Name: string(m.ID)})
	}
	return doc, doc.ValidateAndComplete()
}

// What the App may fill a block with fits into comet's, or this does not compile.
var _ = [maxBlockBytes - lamppost.MaxBlockBytes - maxEvidenceBytes]byte{}
