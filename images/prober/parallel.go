package main

import (
	"context"
	"sync"
	"time"
)

// inParallel calls run for every item at the same time, and returns the results in the order of the items.
func inParallel[Item, Result any](items []Item, run func(Item) Result) []Result {
	results := make([]Result, len(items))
	var running sync.WaitGroup
	for i, item := range items {
		running.Go(func() { results[i] = run(item) })
	}
	running.Wait()
	return results
}

// retry calls attempt until it succeeds or the context ends, with a pause after each failure. It returns the last error.
func retry(ctx context.Context, interval time.Duration, attempt func() error) error {
	for {
		err := attempt()
		if err == nil {
			return nil
		}
		pause(ctx, interval)
		if ctx.Err() != nil {
			return err
		}
	}
}
