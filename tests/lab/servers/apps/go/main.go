// A server that takes the socket systemd passes it, with nothing but the standard library.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

// inherited is the first socket of LISTEN_FDS, if those are meant for this process.
func inherited() (net.Listener, error) {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) || os.Getenv("LISTEN_FDS") == "" {
		return nil, fmt.Errorf("no socket was passed")
	}
	return net.FileListener(os.NewFile(3, "http"))
}

func told(answer http.ResponseWriter, _ *http.Request) {
	env := map[string]string{}
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	json.NewEncoder(answer).Encode(map[string]any{"env": env, "argv": os.Args})
}

func main() {
	listener, err := inherited()
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/", func(answer http.ResponseWriter, _ *http.Request) { fmt.Fprintln(answer, "here") })
	http.HandleFunc("/env", told)
	server := &http.Server{}
	stopped, forget := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer forget()
	ended := make(chan error)
	go func() {
		<-stopped.Done()
		ended <- server.Shutdown(context.Background())
	}()
	if err := server.Serve(listener); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
}
