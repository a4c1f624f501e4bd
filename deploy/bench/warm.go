package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// A comparison is one kind of request under the same load on several servers.
type comparison struct {
	name        string // of the measure and of the profile's file
	method      string
	path        string
	connections int
	perByte     bool // CPU by what is sent, else by request
	secure      bool
	image       image
	file        string // of the body
	bars        map[string]float64
}

func (b *bench) manifestByDigest(ctx context.Context) error {
	i, err := b.content.image("manifest", 100<<10, 200<<10, 300<<10)
	if err != nil {
		return err
	}
	return b.compare(ctx, comparison{
		name: "warm manifest GET by digest", method: http.MethodGet, path: "/v2/manifest/manifests/" + i.manifest.Digest,
		connections: b.connections, image: i, file: filepath.Join(b.content.dir, "manifests", i.manifest.Digest),
		bars: map[string]float64{"distribution": 1.0 / 8, "bare": 1.25},
	})
}

func (b *bench) headByTag(ctx context.Context) error {
	i, err := b.content.image("head", 100<<10, 200<<10, 300<<10)
	if err != nil {
		return err
	}
	return b.compare(ctx, comparison{
		name: "warm manifest HEAD by tag", method: http.MethodHead, path: "/v2/head/manifests/" + i.tag,
		connections: b.connections, image: i, file: filepath.Join(b.content.dir, "manifests", i.manifest.Digest),
		bars: map[string]float64{"distribution": 1.0 / 60, "bare": 1.25},
	})
}

func (b *bench) blobPlain(ctx context.Context) error { return b.blobs(ctx, "warm blob", "blob", false) }

func (b *bench) blobTLS(ctx context.Context) error {
	return b.blobs(ctx, "warm blob over TLS", "blobtls", true)
}

func (b *bench) blobs(ctx context.Context, name, repository string, secure bool) error {
	i, err := b.content.image(repository, b.blob)
	if err != nil {
		return err
	}
	return b.compare(ctx, comparison{
		name: name, method: http.MethodGet, path: "/v2/" + repository + "/blobs/" + i.layers[0].Digest,
		connections: b.downloads, perByte: true, secure: secure, image: i,
		file: filepath.Join(b.content.dir, "blobs", i.layers[0].Digest), bars: map[string]float64{"bare": 1.1},
	})
}

// compare runs the rounds and adds a line for each bar.
func (b *bench) compare(ctx context.Context, c comparison) error {
	servers, err := b.contestants(ctx, c)
	for _, s := range servers {
		defer s.stop()
	}
	if err != nil {
		return err
	}
	loads := make([]*load, len(servers))
	for n, s := range servers {
		if loads[n], err = newLoad(s, c.method, c.path, c.connections); err != nil {
			return err
		}
		defer loads[n].close()
		if _, _, err := loads[n].run(ctx, b.round); err != nil { // until everything is warm
			return err
		}
	}
	costs := map[string][]float64{}
	for round := range b.rounds {
		for n := range loads {
			l := loads[(n+round)%len(loads)]
			cost, err := c.cost(ctx, l, b.round)
			if err != nil {
				return err
			}
			costs[l.server.name] = append(costs[l.server.name], cost)
		}
	}
	b.lines(c, costs)
	return b.profile(ctx, c, loads[0])
}

func (b *bench) lines(c comparison, costs map[string][]float64) {
	unit := "CPU us/request"
	if c.perByte {
		unit = "CPU s/GB"
	}
	for _, other := range []string{"distribution", "bare"} {
		if c.bars[other] == 0 {
			continue
		}
		l := line{
			measure: c.name, unit: unit, winnow: median(costs["winnow"]), bare: median(costs["bare"]),
			compared: other, ratio: median(ratios(costs["winnow"], costs[other])), bar: c.bars[other],
		}
		if len(costs["distribution"]) > 0 {
			l.distribution = median(costs["distribution"])
		}
		b.table.add(l)
	}
}

// contestants starts Winnow first, then the others, each with the image in it already. The bare server gets the
// headers that Winnow sends.
func (b *bench) contestants(ctx context.Context, c comparison) (servers []*server, err error) {
	w, err := b.startWinnow(ctx, c.secure)
	if err != nil {
		return nil, err
	}
	servers = append(servers, w)
	if err := pull(ctx, w, c.image); err != nil {
		return servers, err
	}
	if !c.secure {
		d, err := b.startDistribution(ctx)
		if err != nil {
			return servers, err
		}
		servers = append(servers, d)
		if err := pull(ctx, d, c.image); err != nil {
			return servers, err
		}
	}
	client := &http.Client{Transport: w.transport()}
	defer client.CloseIdleConnections()
	response, err := do(ctx, client, c.method, w.url(c.path))
	if err != nil {
		return servers, err
	}
	response.Body.Close()
	response.Header.Del("Date") // every server sends its own
	bare, err := b.startBare(ctx, c.secure, answers{c.path: {Header: response.Header, File: c.file, Blob: c.perByte}})
	if err != nil {
		return servers, err
	}
	return append(servers, bare), nil
}

// cost returns the CPU time of one request in microseconds, or of a gigabyte in seconds.
func (c comparison) cost(ctx context.Context, l *load, d time.Duration) (float64, error) {
	before, err := cpu(l.server.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	requests, bytes, err := l.run(ctx, d)
	if err != nil {
		return 0, err
	}
	after, err := cpu(l.server.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	if c.perByte {
		return (after - before).Seconds() / (float64(bytes) / 1e9), nil
	}
	return float64((after - before).Microseconds()) / float64(requests), nil
}

// profile takes a CPU profile of Winnow under the load, after what was measured.
func (b *bench) profile(ctx context.Context, c comparison, l *load) error {
	if b.profiles == "" {
		return nil
	}
	const seconds = 5
	busy := make(chan error, 1)
	go func() {
		_, _, err := l.run(ctx, (seconds+1)*time.Second)
		busy <- err
	}()
	response, err := get(ctx, http.DefaultClient, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", l.server.console, seconds))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	name := filepath.Join(b.profiles, filepath.Base(filepath.Dir(filepath.Dir(c.path)))+".pprof")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		return err
	}
	b.say("wrote %s", name)
	return <-busy
}
