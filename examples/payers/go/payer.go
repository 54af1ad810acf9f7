// A payer that takes webhooks: pays each grant once, and answers repeats as it answered the first.
//
//	PAYER_SECRETS=whsec_… PAYER_BOOK=payments.jsonl go run . 8090
//
// Only Go's standard library is needed. The book is a file with a line for each payment, written and synced
// before the answer; yours is a database with a unique key on the grant.
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Messages further away from our clock may be old ones that somebody recorded.
const secondsApartMax = 300
const bodyBytesMax = 64 * 1024

type event struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Subject string `json:"subject"`
	Data    struct {
		Kind   string `json:"kind"`
		Code   string `json:"code"`
		Amount int64  `json:"amount"`
	} `json:"data"`
}

type payment struct {
	Grant  string `json:"grant"`
	User   string `json:"user"`
	Kind   string `json:"kind"`
	Code   string `json:"code"`
	Amount int64  `json:"amount"`
}

type book struct {
	mutex sync.Mutex
	file  *os.File
	paid  map[string]bool
}

func openBook(path string) (*book, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	// A line without an end was cut off by a crash, before its message was answered: it comes again.
	whole := bytes.LastIndexByte(text, '\n') + 1
	if err := file.Truncate(int64(whole)); err != nil {
		return nil, err
	}
	b := &book{file: file, paid: map[string]bool{}}
	for _, line := range bytes.Split(bytes.TrimSpace(text[:whole]), []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var p payment
		if err := json.Unmarshal(line, &p); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		b.paid[p.Grant] = true
	}
	return b, nil
}

// pay pays a grant unless it was paid. It is answered only once it is on the disk.
func (b *book) pay(p payment) error {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.paid[p.Grant] {
		return nil
	}
	line, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if _, err := b.file.Write(append(line, '\n')); err != nil {
		return err
	}
	if err := b.file.Sync(); err != nil {
		return err
	}
	b.paid[p.Grant] = true
	return nil
}

// verified says whether Plaudit sent this, now.
func verified(secrets [][]byte, header http.Header, body []byte) bool {
	id, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || math.Abs(float64(time.Now().Unix()-seconds)) > secondsApartMax {
		return false
	}
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, secret)
		fmt.Fprintf(mac, "%s.%s.", id, timestamp)
		mac.Write(body)
		wanted := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		for _, given := range strings.Split(header.Get("webhook-signature"), " ") {
			if hmac.Equal([]byte(given), wanted) {
				return true
			}
		}
	}
	return false
}

func main() {
	var secrets [][]byte
	for _, text := range strings.Split(os.Getenv("PAYER_SECRETS"), ",") {
		secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
		if err != nil || len(secret) == 0 {
			log.Fatal("PAYER_SECRETS is whsec_ and base64")
		}
		secrets = append(secrets, secret)
	}
	path := os.Getenv("PAYER_BOOK")
	if path == "" {
		path = "payments.jsonl"
	}
	book, err := openBook(path)
	if err != nil {
		log.Fatal(err)
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyBytesMax))
		if err != nil {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		if r.Method != http.MethodPost || !verified(secrets, r.Header, body) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var e event
		if err := json.Unmarshal(body, &e); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		// Other types are for others, or for a test: take them, and pay nothing.
		if e.Type == "plaudit.reward.granted" {
			p := payment{e.ID, e.Subject, e.Data.Kind, e.Data.Code, e.Data.Amount}
			if err := book.pay(p); err != nil {
				log.Print(err)
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
		}
		w.WriteHeader(http.StatusNoContent)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s/\n", listener.Addr())
	server := &http.Server{Handler: http.HandlerFunc(handler), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.Serve(listener))
}
