package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// coldPull times pulls of images that neither server has.
func (b *bench) coldPull(ctx context.Context) error {
	w, err := b.startWinnow(ctx, false)
	if err != nil {
		return err
	}
	defer w.stop()
	d, err := b.startDistribution(ctx)
	if err != nil {
		return err
	}
	defer d.stop()
	seconds := map[string][]float64{}
	for round := range b.coldRounds + 1 {
		i, err := b.content.image(fmt.Sprintf("cold%d", round), b.layers...)
		if err != nil {
			return err
		}
		servers := []*server{w, d}
		if round%2 == 1 {
			slices.Reverse(servers)
		}
		for _, s := range servers {
			start := time.Now()
			if err := pull(ctx, s, i); err != nil {
				return err
			}
			if round > 0 { // the first warms code and connections
				seconds[s.name] = append(seconds[s.name], time.Since(start).Seconds())
			}
		}
	}
	b.table.add(line{
		measure: "cold pull", unit: "s", winnow: median(seconds["winnow"]), distribution: median(seconds["distribution"]),
		compared: "distribution", ratio: median(ratios(seconds["winnow"], seconds["distribution"])), bar: 1,
	})
	return nil
}

// leavingClients counts what the upstream sends when clients drop their downloads half-way and one then pulls all.
func (b *bench) leavingClients(ctx context.Context) error {
	w, err := b.startWinnow(ctx, false)
	if err != nil {
		return err
	}
	defer w.stop()
	d, err := b.startDistribution(ctx)
	if err != nil {
		return err
	}
	defer d.stop()
	megabytes := map[string]float64{}
	var whole float64
	for _, s := range []*server{w, d} {
		i, err := b.content.image("leave-"+s.name, b.layers...)
		if err != nil {
			return err
		}
		whole = float64(i.bytes())
		before, err := b.sent(ctx)
		if err != nil {
			return err
		}
		if err := b.comeAndGo(ctx, s, i); err != nil {
			return err
		}
		after, err := b.sent(ctx)
		if err != nil {
			return err
		}
		megabytes[s.name] = float64(after-before) / 1e6
	}
	b.table.add(line{
		measure: "upstream bytes, clients leave", unit: "MB", winnow: megabytes["winnow"], distribution: megabytes["distribution"],
		compared: "the image", ratio: megabytes["winnow"] * 1e6 / whole, bar: 1.01,
	})
	return nil
}

// comeAndGo has two clients leave in the middle of each layer, one early and one late, before one stays.
func (b *bench) comeAndGo(ctx context.Context, s *server, i image) error {
	quick := image{repository: i.repository, tag: i.tag, manifest: i.manifest, config: i.config}
	if err := pull(ctx, s, quick); err != nil { // what is in the image is known; no layer is fetched
		return err
	}
	for _, l := range i.layers {
		for _, part := range []int64{l.Size / 10, l.Size / 2} {
			if err := leave(ctx, s, i, l, part); err != nil {
				return err
			}
		}
	}
	return pull(ctx, s, i)
}

const (
	// settle is how long an idle server is left alone before its memory is read.
	settle = 300 * time.Millisecond
	// memoryBar is how much more than idle a server may hold, in MiB.
	memoryBar = 64
)

// memory reads the peak memory while many clients pull cold, and while one huge layer streams.
func (b *bench) memory(ctx context.Context) error {
	i, err := b.content.image("memory", b.layers...)
	if err != nil {
		return err
	}
	crowd := func(ctx context.Context, s *server) error {
		all, ctx := errgroup.WithContext(ctx)
		for range b.clients {
			all.Go(func() error { return pull(ctx, s, i) })
		}
		return all.Wait()
	}
	if err := b.peak(ctx, fmt.Sprintf("memory above idle, %d clients pull cold", b.clients), crowd); err != nil {
		return err
	}
	huge, err := b.content.hugeImage("huge", b.huge)
	if err != nil {
		return err
	}
	return b.peak(ctx, fmt.Sprintf("memory above idle, a layer of %d MiB streams", b.huge>>20),
		func(ctx context.Context, s *server) error { return pull(ctx, s, huge) })
}

// peak adds a line about the memory of servers that have answered nothing before.
func (b *bench) peak(ctx context.Context, name string, work func(context.Context, *server) error) error {
	mebibytes := map[string]float64{}
	for _, start := range []func(context.Context) (*server, error){
		func(ctx context.Context) (*server, error) { return b.startWinnow(ctx, false) }, b.startDistribution,
	} {
		s, err := start(ctx)
		if err != nil {
			return err
		}
		above, err := aboveIdle(ctx, s, work)
		s.stop()
		if err != nil {
			return err
		}
		mebibytes[s.name] = float64(above) / (1 << 20)
	}
	b.table.add(line{
		measure: name, unit: "MiB", winnow: mebibytes["winnow"], distribution: mebibytes["distribution"],
		ratio: mebibytes["winnow"], bar: memoryBar,
	})
	return nil
}

func aboveIdle(ctx context.Context, s *server, work func(context.Context, *server) error) (int64, error) {
	time.Sleep(settle)
	pid := s.cmd.Process.Pid
	if err := forgetPeak(pid); err != nil {
		return 0, err
	}
	idle, _, err := resident(pid)
	if err != nil {
		return 0, err
	}
	if err := work(ctx, s); err != nil {
		return 0, err
	}
	_, peak, err := resident(pid)
	return max(peak-idle, 1), err
}

// readyBar is how long a start may take, in milliseconds.
const readyBar = 30

// start times starts from the spawn to the first 200 on /v2/, with the upstream up and down.
func (b *bench) start(ctx context.Context) error {
	nobody, err := freePort()
	if err != nil {
		return err
	}
	for _, c := range []struct{ name, upstream string }{
		{"ready after start", b.upstream.url("")}, {"ready after start, upstream down", "http://" + nobody},
	} {
		times := map[string][]float64{}
		for range b.starts {
			if err := b.startAll(ctx, c.upstream, times); err != nil {
				return err
			}
		}
		l := line{measure: c.name, unit: "ms", winnow: median(times["winnow"]), bare: median(times["bare"]), bar: readyBar}
		l.ratio = l.winnow
		if len(times["distribution"]) > 0 { // it does not start without its upstream
			l.distribution = median(times["distribution"])
		}
		b.table.add(l)
	}
	return nil
}

func (b *bench) startAll(ctx context.Context, upstreamURL string, times map[string][]float64) error {
	prepared, cmd, err := b.winnowCommand(upstreamURL, false)
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := b.startOnce(ctx, "winnow", begin, times, func() (*server, error) { return b.spawn("winnow", prepared.addr, cmd) }); err != nil {
		return err
	}
	if upstreamURL == b.upstream.url("") {
		addr, cmd, err := b.distributionCommand(upstreamURL)
		if err != nil {
			return err
		}
		begin = time.Now()
		if err := b.startOnce(ctx, "distribution", begin, times, func() (*server, error) { return b.spawn("distribution", addr, cmd) }); err != nil {
			return err
		}
	}
	begin = time.Now()
	return b.startOnce(ctx, "bare", begin, times, func() (*server, error) { return b.startBare(ctx, false, answers{}) })
}

func (b *bench) startOnce(ctx context.Context, name string, begin time.Time, times map[string][]float64, spawn func() (*server, error)) error {
	s, err := spawn()
	if err != nil {
		return err
	}
	defer s.stop()
	if err := s.ready(ctx); err != nil {
		return err
	}
	times[name] = append(times[name], float64(time.Since(begin).Microseconds())/1000)
	return nil
}
