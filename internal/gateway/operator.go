package gateway

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/lamppost/lamppost/internal/folder"
)

// What the operator may do at a gateway, with the token that stands in its data folder.

const adminFile = "admin.token"

// openAdmin reads the operator's token, or draws it at the first start.
func (g *Gateway) openAdmin() error {
	path := filepath.Join(g.cfg.Data, adminFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		var secret [16]byte
		rand.Read(secret[:]) // never fails
		raw = []byte(hex.EncodeToString(secret[:]) + "\n")
		err = folder.WriteDurably(path, string(raw), 0o600)
	}
	if err != nil {
		return err
	}
	token := strings.TrimSpace(string(raw))
	if len(token) < 16 {
		return errors.New("admin.token is shorter than 16 characters: remove it, and the next start draws another")
	}
	g.admin = sha256.Sum256([]byte(token))
	return nil
}

// An answer is the body of what the operator is told.
type answer struct {
	Code string `json:"code"`
	Text string `json:"text,omitempty"`
}

func tell(w http.ResponseWriter, status int, a any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(a) // an error here is the client's going away
}

// operator lets only the operator in.
func (g *Gateway) operator(do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		sum := sha256.Sum256([]byte(token))
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(sum[:], g.admin[:]) != 1 {
			tell(w, http.StatusUnauthorized, answer{"unauthorized", "this needs the gateway's own token, which is in its data folder, in admin.token: Authorization: Bearer <token>"})
			return
		}
		do(w, r)
	}
}

// rotate gives the gateway another key; a new token of the upstream may come along.
func (g *Gateway) rotate(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Token string `json:"token"`
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<10))
	if err == nil && len(raw) > 0 {
		err = json.Unmarshal(raw, &in)
	}
	if err != nil {
		tell(w, http.StatusBadRequest, answer{"bad_request", `the body is not {"token":"…"}`})
		return
	}
	if in.Token != "" {
		if err := g.keys.setToken(in.Token); err != nil {
			g.cfg.Log.Error("keeping a new token", "err", err)
			tell(w, http.StatusInternalServerError, answer{"internal", "the gateway could not keep the token; its log says why"})
			return
		}
	}
	err = g.keys.rotate(r.Context(), g.up, true)
	epoch, under := g.keys.state()
	switch {
	case err == nil:
		g.cfg.Log.Info("the gateway has another key", "key_epoch", epoch)
		tell(w, http.StatusOK, struct {
			KeyEpoch uint32 `json:"key_epoch"`
		}{epoch})
	case under:
		tell(w, http.StatusAccepted, answer{"under_way", err.Error() + ": the gateway goes on with it"})
	default:
		tell(w, http.StatusConflict, answer{"refused", err.Error()})
	}
}
