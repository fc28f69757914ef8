package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"
)

const (
	minTokenBytes = 16
	cookieName    = "lamppost"
)

// A gate knows the administrator. It keeps digests, so that a comparison takes the same time whatever is compared. The
// cookie is derived from the token and not the token itself, so that it cannot be used as one.
type gate struct{ token, cookie [sha256.Size]byte }

func newGate(token string) gate {
	return gate{token: sha256.Sum256([]byte(token)), cookie: sha256.Sum256([]byte(cookieOf(token)))}
}

func cookieOf(token string) string {
	sum := sha256.Sum256([]byte("lamppost cookie " + token))
	return hex.EncodeToString(sum[:])
}

// knows reports whether a token is the administrator's.
func (g *gate) knows(token string) bool {
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1
}

// admits reports whether a request is the administrator's, by its header or else by its cookie.
func (g *gate) admits(r *http.Request) bool {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, ok := strings.Cut(header, " ")
		return ok && strings.EqualFold(scheme, "Bearer") && g.knows(token)
	}
	c, err := r.Cookie(cookieName)
	if err != nil {
		return false
	}
	sum := sha256.Sum256([]byte(c.Value))
	return subtle.ConstantTimeCompare(sum[:], g.cookie[:]) == 1
}

// sameOrigin refuses requests that change something and that a browser sent for another site's page: they would carry
// the cookie.
func sameOrigin(h http.Handler) http.Handler {
	p := http.NewCrossOriginProtection()
	p.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, &statusError{http.StatusForbidden, "forbidden", "a page of another site may not do this"})
	}))
	return p.Handler(h)
}

// getLogin trades the token for a cookie and leads to the dashboard, whose address then holds no secret.
func (s *Server) getLogin(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Referrer-Policy", "no-referrer")
	token := r.URL.Query().Get("token")
	if !s.gate.knows(token) {
		return errUnauthorized
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: cookieOf(token), Path: "/", HttpOnly: true,
		SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil})
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}
