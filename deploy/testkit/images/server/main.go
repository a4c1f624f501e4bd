// Command server is the application of the sample images: it answers every request with the platform it was built for
// and the user it runs as, so that a test can tell which image is running and how.
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"time"
)

func main() { os.Exit(run()) }

func run() int {
	address := flag.String("listen", "127.0.0.1:8080", "address to answer on")
	check := flag.Bool("check", false, "ask the server at -listen and exit 0 when it answers")
	flag.Parse()
	if *check {
		response, err := http.Get("http://" + *address)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		response.Body.Close()
		return 0
	}
	server := &http.Server{
		Addr:              *address,
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "hello from %s/%s as %d\n", runtime.GOOS, runtime.GOARCH, os.Getuid())
		}),
	}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	return 1
}
