// Package interop has no code of its own. Its tests hold Lamppost's log and witness against programs that others wrote by
// the same specifications (C2SP tlog-checkpoint, tlog-cosignature, tlog-tiles, tlog-witness): Tessera writes a log that our
// witness cosigns and reads a log that we publish, and the witness of transparency-dev cosigns our node's.
package interop
